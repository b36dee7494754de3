//! Values of PostgreSQL in binary form, as the same JSON that their texts become.

use chrono::{Days, NaiveDate, NaiveDateTime, TimeDelta};
use sea_orm::sqlx::{
    Row as _, TypeInfo as _, ValueRef as _,
    postgres::{PgRow, PgTypeKind},
};
use uuid::Uuid;

use crate::domain::sweep::ColumnValue;

/// The digits of a `numeric` are to this base.
const DIGIT: usize = 4;

/// The value of a column.
pub(super) fn value(row: &PgRow, index: usize) -> Result<ColumnValue, String> {
    let raw = row.try_get_raw(index).map_err(|error| error.to_string())?;
    if raw.is_null() {
        return Ok(ColumnValue::Null);
    }
    let bytes = raw.as_bytes().map_err(|error| error.to_string())?;
    let kind = raw.type_info();
    let name = kind.name().to_uppercase();
    let is_enum = matches!(kind.kind(), PgTypeKind::Enum(_));
    read(if is_enum { "TEXT" } else { &name }, bytes)
        .unwrap_or_else(|| Err(format!("it has type {name}: write `CAST(… AS text)` around it, or leave it out")))
}

/// Reads a value of that type; none if the type is not known, or the bytes are not of it.
fn read(kind: &str, bytes: &[u8]) -> Option<Result<ColumnValue, String>> {
    let text = || String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string());
    Some(Ok(match kind {
        "VOID" => ColumnValue::Null,
        "BOOL" => ColumnValue::Flag(*bytes.first()? != 0),
        "INT2" => ColumnValue::Integer(i16::from_be_bytes(bytes.try_into().ok()?).to_string()),
        "INT4" => ColumnValue::Integer(i32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        "INT8" => ColumnValue::Integer(i64::from_be_bytes(bytes.try_into().ok()?).to_string()),
        "OID" => ColumnValue::Integer(u32::from_be_bytes(bytes.try_into().ok()?).to_string()),
        "FLOAT4" => {
            let number = f32::from_be_bytes(bytes.try_into().ok()?);
            ColumnValue::Float(number.to_string().parse().ok()?)
        }
        "FLOAT8" => ColumnValue::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        "NUMERIC" => ColumnValue::Text(numeric(bytes)?),
        "TEXT" | "VARCHAR" | "CHAR" | "\"CHAR\"" | "NAME" | "UNKNOWN" | "CITEXT" | "XML" => {
            return Some(text().map(ColumnValue::Text));
        }
        "JSON" => return Some(text().map(ColumnValue::Json)),
        // The first byte is the version of the format.
        "JSONB" => ColumnValue::Json(String::from_utf8(bytes.get(1..)?.to_vec()).ok()?),
        "TIMESTAMPTZ" => ColumnValue::Text(instant(bytes, "Z")?),
        "TIMESTAMP" => ColumnValue::Text(instant(bytes, "")?),
        "DATE" => ColumnValue::Text(date(i32::from_be_bytes(bytes.try_into().ok()?))?),
        "TIME" => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            let seconds = micros / 1_000_000;
            let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            ColumnValue::Text(clock + &fraction(micros % 1_000_000))
        }
        "UUID" => ColumnValue::Text(Uuid::from_slice(bytes).ok()?.to_string()),
        "BYTEA" => ColumnValue::Bytes(bytes.to_vec()),
        _ => return None,
    }))
}

/// The first day of PostgreSQL's time.
fn epoch() -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(2000, 1, 1)
}

/// Microseconds, as PostgreSQL writes them behind the seconds.
fn fraction(micros: i64) -> String {
    match micros {
        0 => String::new(),
        micros => format!(".{micros:06}").trim_end_matches('0').to_owned(),
    }
}

/// Microseconds since the first day, as ISO text.
fn instant(bytes: &[u8], zone: &str) -> Option<String> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    match micros {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let at: NaiveDateTime = epoch()?.and_hms_opt(0, 0, 0)?.checked_add_signed(TimeDelta::microseconds(micros))?;
    let within = i64::from(at.and_utc().timestamp_subsec_micros());
    Some(format!("{}{}{zone}", at.format("%Y-%m-%dT%H:%M:%S"), fraction(within)))
}

/// Days since the first day, as ISO text.
fn date(days: i32) -> Option<String> {
    let day = match days {
        i32::MAX => return Some("infinity".to_owned()),
        i32::MIN => return Some("-infinity".to_owned()),
        later @ 0.. => epoch()?.checked_add_days(Days::new(later.unsigned_abs().into())),
        earlier => epoch()?.checked_sub_days(Days::new(earlier.unsigned_abs().into())),
    };
    Some(day?.to_string())
}

/// A decimal number: groups of four digits, the weight of the first group, the sign and the digits behind the point.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else { return None };
    match *sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ if groups.len() != usize::from(*count) => return None,
        _ => {}
    }
    let weight = i32::from(weight.cast_signed());
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text: String = (0..=weight).rev().map(|place| format!("{:0DIGIT$}", group(place))).collect();
    text = text.trim_start_matches('0').to_owned();
    if text.is_empty() {
        text.push('0');
    }
    let scale = usize::from(*scale);
    if scale > 0 {
        let groups = i32::try_from(scale.div_ceil(DIGIT)).ok()?;
        let behind: String = (1..=groups).map(|place| format!("{:0DIGIT$}", group(-place))).collect();
        text.push('.');
        text.push_str(&behind[..scale]);
    }
    Some(if *sign == 0x4000 { format!("-{text}") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[i32]) -> Vec<u8> {
        words.iter().flat_map(|word| (*word as u16).to_be_bytes()).collect()
    }

    #[test]
    fn decimal_numbers_are_exact() {
        for (parts, expected) in [
            (vec![0, 0, 0, 0], "0"),
            (vec![0, 0, 0, 2], "0.00"),
            (vec![2, 0, 0, 2, 12, 5000], "12.50"),
            (vec![2, 0, 0x4000, 2, 12, 5000], "-12.50"),
            (vec![1, 1, 0, 0, 1], "10000"),
            (vec![1, -1, 0, 4, 1], "0.0001"),
            (vec![1, -2, 0, 5, 1000], "0.00001"),
            (vec![3, 1, 0, 3, 1, 2, 3450], "10002.345"),
            (vec![0, 0, 0xC000, 0], "NaN"),
        ] {
            assert_eq!(numeric(&words(&parts)).as_deref(), Some(expected), "{parts:?}");
        }
        assert_eq!(numeric(&words(&[2, 0, 0, 0, 1])), None);
    }

    #[test]
    fn times_are_iso_texts() {
        let at = |micros: i64, zone| instant(&micros.to_be_bytes(), zone);
        assert_eq!(at(0, "Z").as_deref(), Some("2000-01-01T00:00:00Z"));
        assert_eq!(at(-500_000, "").as_deref(), Some("1999-12-31T23:59:59.5"));
        assert_eq!(at(i64::MAX, "Z").as_deref(), Some("infinity"));
        assert_eq!(date(366).as_deref(), Some("2001-01-01"));
        assert_eq!(date(-1).as_deref(), Some("1999-12-31"));
        let time = read("TIME", &(3_723_000_010_i64).to_be_bytes());
        assert_eq!(time, Some(Ok(ColumnValue::Text("01:02:03.00001".to_owned()))));
    }

    #[test]
    fn a_strange_type_is_not_read() {
        assert_eq!(read("INT4[]", &[0]), None);
        assert_eq!(read("INT4", &[0]), None);
        assert_eq!(read("JSONB", b"\x01{}"), Some(Ok(ColumnValue::Json("{}".to_owned()))));
    }
}
