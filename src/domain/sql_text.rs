//! A statement of the configuration: where its placeholders are, and whether it is one statement.
//!
//! The text is not parsed as SQL. It is divided into what is inside quotes and comments, and the rest. The database itself
//! reads the statement, with the values as parameters.

/// A statement, with placeholders such as `:id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlText {
    written: String,
    parts: Vec<SqlPart>,
    first_word: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SqlPart {
    Text(String),
    Placeholder(String),
}

/// How a database writes parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterStyle {
    /// `$1`, which may occur several times.
    Numbered,
    /// `?`, one for each occurrence.
    QuestionMarks,
}

impl SqlText {
    /// Reads a statement.
    ///
    /// # Errors
    /// If it is empty, has a part that does not end, or is more than one statement; in words, with the place.
    pub fn parse(written: &str) -> Result<Self, String> {
        let mut reader = SqlReader { text: written, at: 0, parts: Vec::new(), plain: String::new(), first_word: None };
        reader.read()?;
        let first_word = reader.first_word.unwrap_or_default().to_lowercase();
        if first_word.is_empty() {
            return Err("there is no statement".to_owned());
        }
        Ok(Self { written: written.to_owned(), parts: reader.parts, first_word })
    }

    /// The statement as it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether it only reads, by its first word.
    pub fn is_query(&self) -> bool {
        matches!(self.first_word.as_str(), "select" | "with" | "values" | "table")
    }

    /// Its first word, in small letters.
    pub fn first_word(&self) -> &str {
        &self.first_word
    }

    /// The names of its placeholders, in the order of the text. A name may occur several times.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            SqlPart::Placeholder(name) => Some(name.as_str()),
            SqlPart::Text(_) => None,
        })
    }

    /// The statement as the database reads it, and the name for each of its parameters.
    pub fn with_parameters(&self, style: ParameterStyle) -> (String, Vec<&str>) {
        let (mut sql, mut names): (String, Vec<&str>) = (String::new(), Vec::new());
        for part in &self.parts {
            match (part, style) {
                (SqlPart::Text(text), _) => sql.push_str(text),
                (SqlPart::Placeholder(name), ParameterStyle::QuestionMarks) => {
                    names.push(name);
                    sql.push('?');
                }
                (SqlPart::Placeholder(name), ParameterStyle::Numbered) => {
                    let known = names.iter().position(|known| known == name);
                    let place = known.unwrap_or_else(|| {
                        names.push(name);
                        names.len() - 1
                    });
                    sql.push_str(&format!("${}", place + 1));
                }
            }
        }
        (sql, names)
    }
}

/// A statement while it is read.
struct SqlReader<'a> {
    text: &'a str,
    at: usize,
    parts: Vec<SqlPart>,
    plain: String,
    first_word: Option<String>,
}

fn begins_name(letter: char) -> bool {
    letter.is_alphabetic() || letter == '_'
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

impl SqlReader<'_> {
    fn read(&mut self) -> Result<(), String> {
        let mut has_ended = false;
        while let Some(letter) = self.rest().chars().next() {
            let is_blank = letter.is_whitespace() || self.rest().starts_with("--") || self.rest().starts_with("/*");
            if has_ended && !is_blank {
                return Err(format!(
                    "there is a second statement at character {}: a setting has one statement, without a `;` inside",
                    self.place()
                ));
            }
            match letter {
                '\'' | '"' | '`' => self.quoted(letter)?,
                '-' if self.rest().starts_with("--") => {
                    let length = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.take(length);
                }
                '/' if self.rest().starts_with("/*") => self.until("/*", "*/", "comment")?,
                '$' => self.dollar()?,
                ';' => {
                    has_ended = true;
                    self.at += 1;
                }
                ':' => self.colon(),
                '?' => {
                    return Err(format!(
                        "there is a `?` at character {}: write a placeholder as `:name`, and its value in `bind`",
                        self.place()
                    ));
                }
                letter if begins_name(letter) => {
                    let length = self.rest().find(|letter| !is_name(letter)).unwrap_or(self.rest().len());
                    let word = self.rest()[..length].to_owned();
                    self.first_word.get_or_insert(word);
                    self.take(length);
                }
                other => self.take(other.len_utf8()),
            }
        }
        self.end_plain();
        Ok(())
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// The number of the next character, from 1.
    fn place(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn take(&mut self, length: usize) {
        let taken = &self.text[self.at..self.at + length];
        self.plain.push_str(taken);
        self.at += length;
    }

    fn end_plain(&mut self) {
        if !self.plain.is_empty() {
            self.parts.push(SqlPart::Text(std::mem::take(&mut self.plain)));
        }
    }

    /// Text in quotes. Inside, the quote is written twice.
    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let inside = &self.rest()[1..];
        let Some(end) = inside.find(quote) else {
            return Err(format!("what begins with {quote} at character {} does not end", self.place()));
        };
        if quote == '\'' && inside[..end].ends_with('\\') {
            return Err(format!(
                "the text at character {} has a backslash before a quote, which databases read differently: write the \
                 quote twice, or use a placeholder",
                self.place()
            ));
        }
        // A doubled quote ends one text and begins the next: together they are the same.
        self.take(end + 2);
        Ok(())
    }

    fn until(&mut self, begin: &str, end: &str, what: &str) -> Result<(), String> {
        let Some(length) = self.rest()[begin.len()..].find(end) else {
            return Err(format!("the {what} at character {} does not end", self.place()));
        };
        self.take(begin.len() + length + end.len());
        Ok(())
    }

    /// `$$ … $$` and `$tag$ … $tag$` are texts of PostgreSQL.
    fn dollar(&mut self) -> Result<(), String> {
        let rest = &self.rest()[1..];
        let name = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        if rest[name..].starts_with('$') {
            let tag = self.rest()[..name + 2].to_owned();
            return self.until(&tag, &tag, "text");
        }
        if rest.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Err(format!(
                "there is a `${}` at character {}: write a placeholder as `:name`, and its value in `bind`",
                &rest[..name],
                self.place()
            ));
        }
        self.take(1);
        Ok(())
    }

    /// `:name` is a placeholder. `::` is a cast of PostgreSQL.
    fn colon(&mut self) {
        let rest = &self.rest()[1..];
        if rest.starts_with(':') {
            return self.take(2);
        }
        let length = match rest.starts_with(begins_name) {
            true => rest.find(|letter| !is_name(letter)).unwrap_or(rest.len()),
            false => 0,
        };
        if length == 0 {
            return self.take(1);
        }
        let name = rest[..length].to_owned();
        self.end_plain();
        self.parts.push(SqlPart::Placeholder(name));
        self.at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SqlText {
        SqlText::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn placeholders_are_found_outside_of_quotes_and_comments() {
        let text = parsed(
            "SELECT ':a', \":b\", `:c`, 'it''s :d' -- :e\n, /* :f */ $$ :g $$, $x$ :h $x$, i::text, j[1:2] FROM t \
             WHERE k = :k AND l = :l_1 AND m = :k;",
        );
        assert_eq!(text.placeholders().collect::<Vec<_>>(), ["k", "l_1", "k"]);
        let (sql, names) = text.with_parameters(ParameterStyle::Numbered);
        assert!(sql.ends_with("WHERE k = $1 AND l = $2 AND m = $1"), "{sql}");
        assert_eq!(names, ["k", "l_1"]);
        let (sql, names) = text.with_parameters(ParameterStyle::QuestionMarks);
        assert!(sql.ends_with("WHERE k = ? AND l = ? AND m = ?"), "{sql}");
        assert_eq!(names, ["k", "l_1", "k"]);
    }

    #[test]
    fn the_first_word_says_what_a_statement_does() {
        for (text, word, is_query) in [
            ("select 1", "select", true),
            ("-- a comment\n /* another */ (WITH x AS (SELECT 1) SELECT * FROM x)", "with", true),
            ("DELETE FROM t", "delete", false),
        ] {
            assert_eq!((parsed(text).first_word(), parsed(text).is_query()), (word, is_query));
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        let mistake = |text: &str| SqlText::parse(text).expect_err(text);
        assert_eq!(mistake(" -- nothing"), "there is no statement");
        assert!(mistake("SELECT 1; DELETE FROM t").starts_with("there is a second statement at character 11"));
        assert_eq!(mistake("SELECT 'a"), "what begins with ' at character 8 does not end");
        assert_eq!(mistake("SELECT /* a"), "the comment at character 8 does not end");
        assert!(mistake("SELECT ?").starts_with("there is a `?` at character 8"));
        assert!(mistake("SELECT $1").starts_with("there is a `$1` at character 8"));
        assert!(mistake("SELECT 'it\\'s'").starts_with("the text at character 8 has a backslash before a quote"));
    }
}
