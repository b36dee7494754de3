//! Reads the text of a condition.

use serde_json::Value;

use super::{
    path::PayloadPath,
    term::{Comparison, Operand, Term, TextTest},
    token::{Placed, Token, tokens},
};

/// Maximum number of brackets and `!` inside one another.
const MAX_DEPTH: usize = 50;

type Misplaced = (usize, String);

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
}

/// Reads a condition.
///
/// # Errors
/// The first mistake: its byte, and what is wrong there.
pub(super) fn parse(text: &str) -> Result<Term, Misplaced> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let root = parser.any()?;
    match parser.peek() {
        None => Ok(root),
        Some(_) => Err(parser.expected("`&&`, `||` or the end")),
    }
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Term, Misplaced> {
        let mut terms = vec![self.all()?];
        while self.takes("||") {
            terms.push(self.all()?);
        }
        Ok(single(terms, Term::Any))
    }

    fn all(&mut self) -> Result<Term, Misplaced> {
        let mut terms = vec![self.term()?];
        while self.takes("&&") {
            terms.push(self.term()?);
        }
        Ok(single(terms, Term::All))
    }

    fn term(&mut self) -> Result<Term, Misplaced> {
        if self.takes("!") {
            let start = self.place();
            let inner = self.deeper(Self::term)?;
            let end = self.tokens[self.next - 1].end;
            let text = self.text[start..end].trim();
            let bare = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
            return Ok(Term::Not(Box::new(inner), bare.to_owned()));
        }
        if self.takes("(") {
            let inner = self.deeper(Self::any)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.takes_call("has") {
            let path = self.path()?;
            self.expect(")")?;
            return Ok(Term::Has(path));
        }
        let left = self.operand()?;
        if self.takes(".") {
            return self.test(left);
        }
        for (sign, comparison) in Comparison::SIGNS {
            if self.takes(sign) {
                return Ok(Term::Compare(left, comparison, self.operand()?));
            }
        }
        if self.peek() == Some(&Token::Word("in".to_owned())) {
            self.next += 1;
            let is_list = matches!(self.peek(), Some(Token::Sign("[") | Token::Path(_)));
            if !is_list {
                return Err(self.expected("a list such as `[1, 2]`, or a place in the payload"));
            }
            return Ok(Term::In(left, self.operand()?));
        }
        Ok(Term::Truth(left))
    }

    fn test(&mut self, tested: Operand) -> Result<Term, Misplaced> {
        let at = self.place();
        let Some(Token::Word(word)) = self.peek().cloned() else { return Err(self.expected("a test of a text")) };
        self.next += 1;
        let Some((_, test)) = TextTest::WORDS.iter().find(|(known, _)| *known == word) else {
            return Err((at, format!("`{word}` is not known, expected `startsWith`, `endsWith` or `contains`")));
        };
        self.expect("(")?;
        let part = self.operand()?;
        self.expect(")")?;
        Ok(Term::Test(tested, *test, part))
    }

    fn operand(&mut self) -> Result<Operand, Misplaced> {
        if self.takes_call("size") {
            let path = self.path()?;
            self.expect(")")?;
            return Ok(Operand::Size(path));
        }
        if let Some(Token::Path(path)) = self.peek().cloned() {
            self.next += 1;
            return Ok(Operand::Path(path));
        }
        self.literal().map(Operand::Literal)
    }

    fn literal(&mut self) -> Result<Value, Misplaced> {
        let at = self.place();
        let value = match self.peek().cloned() {
            Some(Token::Text(text)) => text.into(),
            Some(Token::Number(number)) => Value::Number(number),
            Some(Token::Word(word)) => match word.as_str() {
                "true" => true.into(),
                "false" => false.into(),
                "null" => Value::Null,
                _ => {
                    let advice = format!("write a place in the payload as `$.{word}`, a text in quotes");
                    return Err((at, format!("`{word}` is not known: {advice}, or `true`, `false` or `null`")));
                }
            },
            Some(Token::Sign("[")) => return self.list(),
            _ => return Err(self.expected("a value or a place in the payload")),
        };
        self.next += 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, Misplaced> {
        self.expect("[")?;
        let mut items = Vec::new();
        while !self.takes("]") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(self.deeper(Self::literal)?);
        }
        Ok(items.into())
    }

    fn path(&mut self) -> Result<PayloadPath, Misplaced> {
        let Some(Token::Path(path)) = self.peek().cloned() else { return Err(self.expected("a place in the payload")) };
        self.next += 1;
        Ok(path)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|placed| &placed.token)
    }

    /// The byte at which the next word begins.
    fn place(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |placed| placed.start)
    }

    fn takes(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.next += usize::from(is_it);
        is_it
    }

    /// Takes `word` and the bracket behind it.
    fn takes_call(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(found)) if found == word)
            && matches!(self.tokens.get(self.next + 1), Some(Placed { token: Token::Sign("("), .. }));
        self.next += if is_it { 2 } else { 0 };
        is_it
    }

    fn expect(&mut self, sign: &str) -> Result<(), Misplaced> {
        if self.takes(sign) { Ok(()) } else { Err(self.expected(&format!("`{sign}`"))) }
    }

    fn expected(&self, what: &str) -> Misplaced {
        let found = match self.tokens.get(self.next) {
            Some(Placed { start, end, .. }) => format!("`{}`", &self.text[*start..*end]),
            None => "the end".to_owned(),
        };
        (self.place(), format!("expected {what}, and found {found}"))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Misplaced>) -> Result<T, Misplaced> {
        if self.depth == MAX_DEPTH {
            return Err((self.place(), "it is nested too deeply".to_owned()));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }
}

/// A single term, or several that `join` joins.
fn single(mut terms: Vec<Term>, join: impl FnOnce(Vec<Term>) -> Term) -> Term {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        last => {
            terms.extend(last);
            join(terms)
        }
    }
}
