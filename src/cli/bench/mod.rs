//! `sexton bench`: the performance of a database with this program, at its default settings.

mod args;
mod figures;
mod load;
mod measure;
mod node;

pub(super) use self::args::BenchArgs;
use self::{figures::Figures, measure::Measure};
use super::{
    output::{Column, Printer},
    session::Session,
};

pub(super) fn run(session: &Session, output: Printer, args: &BenchArgs) -> anyhow::Result<u8> {
    let url = match &args.database {
        Some(url) => url.clone(),
        None => {
            let database = session.config()?.database;
            anyhow::ensure!(
                database.schema.is_none(),
                "the benchmark works without a schema: name a database by --database"
            );
            database.url
        }
    };
    let figures = actix_rt::System::new().block_on(async { Measure::new(&url, args).await?.all().await })?;
    print(output, &figures)?;
    Ok(0)
}

fn print(output: Printer, figures: &Figures) -> anyhow::Result<()> {
    if output.is_json() {
        return output.value(figures);
    }
    let columns = ["Measure", "Figure", "Unit"].map(Column::value);
    output.table(&columns, &figures.rows(), "");
    Ok(())
}
