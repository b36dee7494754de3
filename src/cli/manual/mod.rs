//! `sexton man`: the manual pages. Those of the commands come from the command line's definition, sexton.toml(5) from the
//! page about the configuration.

mod markdown;

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::output::print_raw;
use crate::domain::text::suggest;

const CONFIGURATION: &str = include_str!("../../../docs/CONFIGURATION.md");
const OPERATING: &str = include_str!("../../../docs/OPERATING.md");
const STARTER: &str = include_str!("../../../config/starter.toml");
/// What the command line's definition does not say: a part for each command that needs one.
const COMMANDS: &str = include_str!("commands.md");

const VERSION: &str = concat!("sexton ", env!("CARGO_PKG_VERSION"));
const MANUAL: &str = "Sexton";
const EXIT_STATUS: &str = "## EXIT STATUS\n0 if it has succeeded, 1 if it has failed, 2 for wrong usage, 78 if the \
                           configuration has mistakes. sexton(1) lists all codes.\n";

#[derive(Args)]
pub(super) struct ManArgs {
    /// The page, such as `sexton.toml` or `sexton-task-add`
    #[arg(default_value = "sexton")]
    page: String,
    /// Write all pages below this directory, to man1 and man5, instead of one to standard output
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    dir: Option<PathBuf>,
}

/// A manual page.
struct Page {
    /// Its name without the section's number.
    name: String,
    section: u8,
    text: Vec<u8>,
}

pub(super) fn run(command: Command, args: &ManArgs) -> anyhow::Result<u8> {
    let pages = pages(command)?;
    let Some(dir) = &args.dir else {
        let page = pages.iter().find(|page| page.name == args.page).with_context(|| {
            let hint = suggest::hint(&args.page, pages.iter().map(|page| page.name.as_str()));
            format!("there is no page `{}`{hint}", args.page)
        })?;
        print_raw(&page.text);
        return Ok(0);
    };
    for page in &pages {
        let folder = dir.join(format!("man{}", page.section));
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let file = folder.join(format!("{}.{}", page.name, page.section));
        fs::write(&file, &page.text).with_context(|| file.display().to_string())?;
    }
    Ok(0)
}

/// All pages.
fn pages(command: Command) -> anyhow::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = vec![configuration_page()?];
    let mut commands = vec![(command, None)];
    while let Some((command, above)) = commands.pop() {
        let page = command_page(&command, above.as_deref())?;
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        commands.extend(below.map(|below| (below.clone(), Some(page.name.clone()))));
        pages.push(page);
    }
    Ok(pages)
}

/// The page of a command; `above` is the page of the command to which it belongs.
fn command_page(command: &Command, above: Option<&str>) -> anyhow::Result<Page> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone()).title(name.clone()).source(VERSION).manual(MANUAL);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    if above.is_none() {
        rest.control("SH", ["EXIT STATUS"]);
        markdown::append(&mut rest, markdown::section(OPERATING, "### Exit codes").unwrap_or_default());
        rest.control("SH", ["SIGNALS"]);
        markdown::append(&mut rest, markdown::section(OPERATING, "### Signals").unwrap_or_default());
    }
    let line = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let more = markdown::section(COMMANDS, &format!("# {line}")).unwrap_or_default();
    if above.is_some() && markdown::section(more, "## EXIT STATUS").is_none() {
        markdown::append(&mut rest, EXIT_STATUS);
    }
    markdown::append(&mut rest, more);
    let related = above.filter(|above| *above != "sexton").map(|above| format!("{above}(1)"));
    let related = related.into_iter().chain(above.map(|_| "sexton(1)".to_owned()));
    append_references(&mut rest, related.chain(["sexton.toml(5)".to_owned()]));
    rest.to_writer(&mut text)?;
    Ok(Page { name, section: 1, text })
}

fn configuration_page() -> anyhow::Result<Page> {
    let mut roff = Roff::new();
    roff.control("TH", ["sexton.toml", "5", "", VERSION, MANUAL]);
    roff.control("SH", ["NAME"]).text([roman("sexton.toml - the configuration of the daemon sexton")]);
    roff.control("SH", ["SYNOPSIS"]).text([roman("/etc/sexton/sexton.toml")]);
    roff.control("br", []).text([roman("/etc/sexton/conf.d/*.toml")]);
    roff.control("SH", ["DESCRIPTION"]);
    markdown::append(&mut roff, CONFIGURATION);
    markdown::append(&mut roff, &format!("## EXAMPLES\nWhat `sexton init` writes:\n\n```\n{STARTER}```\n"));
    markdown::append(&mut roff, markdown::section(COMMANDS, "# sexton.toml").unwrap_or_default());
    append_references(&mut roff, ["sexton(1)".to_owned(), "sexton-config-check(1)".to_owned()].into_iter());
    let mut text = Vec::new();
    roff.to_writer(&mut text)?;
    Ok(Page { name: "sexton.toml".to_owned(), section: 5, text })
}

fn append_references(roff: &mut Roff, pages: impl Iterator<Item = String>) {
    roff.control("SH", ["SEE ALSO"]).text([roman(pages.collect::<Vec<_>>().join(", "))]);
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    /// The words of a line of a shell. Quotes are as simple as in the examples.
    fn words(line: &str) -> Vec<String> {
        let parts: Vec<&str> = line.split('\'').collect();
        let mut words = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push((*part).to_owned()),
            }
        }
        words
    }

    #[test]
    fn each_example_is_a_command() {
        let mut tried = 0;
        for line in COMMANDS.lines().filter(|line| line.starts_with("sexton ")) {
            let line = line.split(['#', '|', '>']).next().unwrap_or_default();
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{line}: {error}");
            }
            tried += 1;
        }
        assert!(tried > 30, "only {tried} were found");
    }

    #[test]
    fn each_part_belongs_to_a_page() {
        let pages: Vec<String> = pages(Cli::command()).unwrap_or_default().into_iter().map(|page| page.name).collect();
        let mut is_code = false;
        for line in COMMANDS.lines() {
            is_code ^= line.starts_with("```");
            if let Some(command) = line.strip_prefix("# ").filter(|_| !is_code) {
                assert!(pages.contains(&command.replace(' ', "-")), "{command}");
            }
        }
        assert!(markdown::section(OPERATING, "### Exit codes").is_some());
        assert!(markdown::section(OPERATING, "### Signals").is_some());
    }
}
