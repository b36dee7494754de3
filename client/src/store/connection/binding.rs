//! The parameters of a statement, in the form that each driver takes.

use chrono::Utc;
use sea_orm::{
    Statement, Value,
    sea_query::OptionEnum,
    sqlx::{
        Arguments, Error, error::BoxDynError, mysql::MySqlArguments, postgres::PgArguments, sqlite::SqliteArguments,
    },
};

/// Makes the function for one driver. The types differ, the text is the same.
macro_rules! binder {
    ($name:ident, $arguments:ty) => {
        /// The parameters of a statement for this driver.
        ///
        /// # Errors
        /// If a value has no equivalent in the databases.
        pub(super) fn $name(statement: &Statement) -> Result<$arguments, Error> {
            let mut arguments = <$arguments>::default();
            for value in statement.values.iter().flat_map(|values| &values.0).cloned() {
                let added: Result<(), BoxDynError> = match value {
                    Value::Bool(value) => arguments.add(value),
                    Value::TinyInt(value) => arguments.add(value.map(i16::from)),
                    Value::SmallInt(value) => arguments.add(value),
                    Value::Int(value) => arguments.add(value),
                    Value::BigInt(value) => arguments.add(value),
                    Value::TinyUnsigned(value) => arguments.add(value.map(i16::from)),
                    Value::SmallUnsigned(value) => arguments.add(value.map(i32::from)),
                    Value::Unsigned(value) => arguments.add(value.map(i64::from)),
                    Value::BigUnsigned(value) => match value.map(i64::try_from).transpose() {
                        Ok(value) => arguments.add(value),
                        Err(error) => Err(error.into()),
                    },
                    Value::Float(value) => arguments.add(value),
                    Value::Double(value) => arguments.add(value),
                    Value::String(value) => arguments.add(value),
                    Value::Enum(OptionEnum::Some(value)) => arguments.add(Some(value.value.into_owned())),
                    Value::Enum(OptionEnum::None(_)) => arguments.add(None::<String>),
                    Value::Char(value) => arguments.add(value.map(String::from)),
                    Value::Bytes(value) => arguments.add(value),
                    Value::Json(value) => arguments.add(value.map(|value| *value)),
                    Value::ChronoDate(value) => arguments.add(value),
                    Value::ChronoTime(value) => arguments.add(value),
                    Value::ChronoDateTime(value) => arguments.add(value),
                    Value::ChronoDateTimeUtc(value) => arguments.add(value),
                    Value::ChronoDateTimeLocal(value) => arguments.add(value.map(|at| at.with_timezone(&Utc))),
                    Value::ChronoDateTimeWithTimeZone(value) => arguments.add(value.map(|at| at.with_timezone(&Utc))),
                    other => Err(format!("a parameter of this kind is not supported: {other:?}").into()),
                };
                added.map_err(Error::Encode)?;
            }
            Ok(arguments)
        }
    };
}

binder!(postgres, PgArguments);
binder!(mysql, MySqlArguments);
binder!(sqlite, SqliteArguments);
