//! systemd unit files: sections, settings, and the syntax of durations, sizes and words.

use std::time::Duration;

/// One file of a unit: its main file, or a drop-in.
#[derive(Clone, Debug)]
pub struct UnitText {
    /// Path of the file, for notes.
    pub file: String,
    /// Content of the file.
    pub text: String,
}

/// A unit with its drop-ins.
#[derive(Debug)]
pub struct Unit {
    /// Name, such as `backup.timer`.
    pub name: String,
    /// Path of the main file.
    pub file: String,
    settings: Vec<Setting>,
}

/// One setting, with its location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    pub(super) file: String,
    pub(super) line: usize,
}

/// Settings that add to earlier ones. Of other settings, the last one applies.
const LIST_SETTINGS: &[&str] = &[
    "OnCalendar",
    "OnActiveSec",
    "OnBootSec",
    "OnStartupSec",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "ExecStart",
    "ExecStartPre",
    "ExecStartPost",
    "ExecStop",
    "ExecStopPost",
    "ExecCondition",
    "ExecReload",
    "Environment",
    "EnvironmentFile",
    "PassEnvironment",
    "SuccessExitStatus",
    "After",
    "Before",
    "Wants",
    "Requires",
    "Documentation",
];

impl Unit {
    /// Reads a unit: its main file, then its drop-ins in their order.
    pub fn read(name: &str, texts: &[UnitText]) -> Self {
        let settings = texts.iter().flat_map(settings_of).collect();
        let file = texts.first().map_or_else(|| name.to_owned(), |text| text.file.clone());
        Self { name: name.to_owned(), file, settings }
    }

    /// The settings of a section that are in force. An empty value resets earlier ones.
    pub(super) fn section(&self, section: &str) -> Vec<&Setting> {
        let mut found: Vec<&Setting> = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.section == section) {
            if setting.value.is_empty() || !LIST_SETTINGS.contains(&setting.key.as_str()) {
                found.retain(|earlier| earlier.key != setting.key);
            }
            if !setting.value.is_empty() {
                found.push(setting);
            }
        }
        found
    }

    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Setting> {
        self.section(section).into_iter().rfind(|setting| setting.key == key)
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.settings.iter().map(|setting| setting.section.as_str())
    }

    /// The name without its type: `backup` of `backup.timer`.
    pub(super) fn stem(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(stem, _)| stem)
    }

    /// Expands the specifiers that need only the unit's name: `%n %N %p %i %%`.
    ///
    /// # Errors
    /// The first other specifier.
    pub(super) fn expand(&self, text: &str) -> Result<String, String> {
        let (prefix, instance) = self.stem().split_once('@').unwrap_or((self.stem(), ""));
        let mut expanded = String::new();
        let mut characters = text.chars();
        while let Some(c) = characters.next() {
            match (c, if c == '%' { characters.next() } else { None }) {
                ('%', Some('%')) => expanded.push('%'),
                ('%', Some('n')) => expanded.push_str(&self.name),
                ('%', Some('N')) => expanded.push_str(self.stem()),
                ('%', Some('p')) => expanded.push_str(prefix),
                ('%', Some('i')) => expanded.push_str(instance),
                ('%', Some(other)) => return Err(format!("%{other}")),
                _ => expanded.push(c),
            }
        }
        Ok(expanded)
    }
}

/// The name of the unit that a timer starts: `Unit=`, or its own name as a service.
pub fn service_of(timer: &Unit) -> String {
    timer.get("Timer", "Unit").map_or_else(|| format!("{}.service", timer.stem()), |setting| setting.value.clone())
}

fn settings_of(text: &UnitText) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut section = String::new();
    let mut lines = text.text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim();
        if first.is_empty() || first.starts_with(['#', ';']) {
            continue;
        }
        // A backslash at the end continues the line; comment lines between do not end it.
        let mut line = first.to_owned();
        while let Some(begun) = line.strip_suffix('\\') {
            line = begun.to_owned() + " ";
            let next = lines.by_ref().map(|(_, next)| next.trim()).find(|next| !next.starts_with(['#', ';']));
            let Some(next) = next else { break };
            line.push_str(next);
        }
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, value)) = line.split_once('=') {
            settings.push(Setting {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                file: text.file.clone(),
                line: index + 1,
            });
        }
    }
    settings
}

pub(super) fn flag(text: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// `5min 20s`, `1h30min`, or seconds; none for any other text, including `infinity`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let seconds = match unit {
            "us" | "usec" | "µs" | "μs" => 0.000_001,
            "ms" | "msec" => 0.001,
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            "M" | "month" | "months" => 2_629_800.0,
            "y" | "year" | "years" => 31_557_600.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = behind.trim_start();
    }
    Some(total)
}

/// A number of bytes with a unit of base 1024; none for any other text.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_suffix('B').unwrap_or(text);
    let (number, shift) = match text.chars().last()? {
        'K' => (&text[..text.len() - 1], 10),
        'M' => (&text[..text.len() - 1], 20),
        'G' => (&text[..text.len() - 1], 30),
        'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The words of a text as systemd splits them: at blanks, with quotes and C escapes; and whether each word is plain.
///
/// # Errors
/// If a quote is not closed, or an escape is unknown.
pub(super) fn words(text: &str) -> Result<Vec<(String, bool)>, String> {
    let mut words = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        if characters.peek().is_none() {
            return Ok(words);
        }
        let (mut word, mut quote, mut is_plain) = (String::new(), None, true);
        while let Some(c) = characters.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match c {
                '"' | '\'' if quote == Some(c) => quote = None,
                '"' | '\'' if quote.is_none() => (quote, is_plain) = (Some(c), false),
                '\\' => {
                    is_plain = false;
                    word.push(escaped(&mut characters)?);
                }
                _ => word.push(c),
            }
        }
        if let Some(quote) = quote {
            return Err(format!("a {quote} is not closed"));
        }
        words.push((word, is_plain));
    }
}

fn escaped(characters: &mut impl Iterator<Item = char>) -> Result<char, String> {
    let c = characters.next().ok_or("the text ends with a `\\`")?;
    let mut number = |digits: usize, radix: u32| {
        let text: String = characters.by_ref().take(digits).collect();
        u32::from_str_radix(&text, radix).ok().and_then(char::from_u32).filter(|c| *c != '\0')
    };
    let found = match c {
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        's' => Some(' '),
        '\\' | '"' | '\'' | ';' => Some(c),
        'x' => number(2, 16).filter(char::is_ascii),
        'u' => number(4, 16),
        _ => None,
    };
    found.ok_or_else(|| format!("unknown escape `\\{c}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(texts: &[&str]) -> Unit {
        let texts: Vec<UnitText> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| UnitText { file: format!("f{index}"), text: (*text).to_owned() })
            .collect();
        Unit::read("backup@nas.timer", &texts)
    }

    #[test]
    fn later_files_add_replace_and_take_back() {
        let unit = unit(&[
            "# x\n[Timer]\nOnCalendar=daily\nAccuracySec=1h\n; y\nOnCalendar = \\\n# between\n weekly\n",
            "[Timer]\nAccuracySec=5\n",
        ]);
        let values = |unit: &Unit| -> Vec<(String, usize)> {
            unit.section("Timer").iter().map(|setting| (setting.value.clone(), setting.line)).collect()
        };
        let named = |list: &[(&str, usize)]| list.iter().map(|(a, b)| ((*a).to_owned(), *b)).collect::<Vec<_>>();
        assert_eq!(values(&unit), named(&[("daily", 3), ("weekly", 6), ("5", 2)]));
        assert_eq!(service_of(&unit), "backup@nas.service");
        let reset =
            self::unit(&["[Timer]\nOnCalendar=daily\n", "[Timer]\nOnCalendar=\nOnCalendar=hourly\nUnit=x.service"]);
        assert_eq!(values(&reset)[0].0, "hourly");
        assert_eq!(service_of(&reset), "x.service");
    }

    #[test]
    fn lengths_sizes_and_specifiers_are_read() {
        assert_eq!(span("1h 30min"), Some(Duration::from_secs(5_400)));
        assert_eq!(span("90"), Some(Duration::from_secs(90)));
        assert_eq!(span("2min200ms"), Some(Duration::from_millis(120_200)));
        assert_eq!((span("infinity"), span(""), span("5 parsecs")), (None, None, None));
        assert_eq!(
            (bytes("512M"), bytes("10"), bytes("10%"), bytes("infinity")),
            (Some(512 << 20), Some(10), None, None)
        );
        let unit = unit(&[]);
        assert_eq!(unit.expand("%p/%i of %N 100%%").as_deref(), Ok("backup/nas of backup@nas 100%"));
        assert_eq!(unit.expand("%h/x"), Err("%h".to_owned()));
    }

    #[test]
    fn words_are_divided_as_systemd_does() {
        let plain = |text| words(text).expect("words").into_iter().map(|(word, _)| word).collect::<Vec<_>>();
        assert_eq!(
            plain(r#"/bin/a "b c" 'd "e"' f\x20g h"i j"k \; ''"#),
            ["/bin/a", "b c", "d \"e\"", "f g", "hi jk", ";", ""]
        );
        assert!(words("a 'b").is_err() && words("a \\q").is_err() && words("a \\").is_err());
    }
}
