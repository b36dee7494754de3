//! The values of placeholders, in the form that each driver takes.

use std::collections::BTreeMap;

use sea_orm::sqlx::{
    Arguments as _, Encode, Error, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    mysql::MySqlArguments,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, types::Oid},
    sqlite::SqliteArguments,
};
use serde_json::Value;

/// PostgreSQL's type of what has none. The server finds the type by the place of the parameter.
const UNKNOWN: Oid = Oid(705);

/// NULL, of whatever type is wanted.
struct Untyped;

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(UNKNOWN)
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

/// Makes the function for one driver. The types differ, the text is the same.
macro_rules! parameters {
    ($name:ident, $arguments:ty, $null:expr) => {
        /// The values of these placeholders for this driver. What has no value is NULL.
        pub(super) fn $name(names: &[&str], values: &BTreeMap<String, Value>) -> Result<$arguments, Error> {
            let mut arguments = <$arguments>::default();
            for name in names {
                let added = match values.get(*name) {
                    None | Some(Value::Null) => arguments.add($null),
                    Some(Value::Bool(flag)) => arguments.add(*flag),
                    Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
                        (Some(integer), _) => arguments.add(integer),
                        (None, Some(float)) if number.is_f64() => arguments.add(float),
                        _ => arguments.add(number.to_string()),
                    },
                    Some(Value::String(text)) => arguments.add(text.clone()),
                    Some(list_or_object) => arguments.add(list_or_object.to_string()),
                };
                added.map_err(Error::Encode)?;
            }
            Ok(arguments)
        }
    };
}

parameters!(postgres, PgArguments, Untyped);
parameters!(mysql, MySqlArguments, None::<String>);
parameters!(sqlite, SqliteArguments, None::<String>);
