//! Sets of time spans: union and difference.

use chrono::{DateTime, Utc};

/// A span of time. Its start is inclusive, its end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First instant inside.
    pub start: DateTime<Utc>,
    /// First instant after it.
    pub end: DateTime<Utc>,
}

/// A set of spans: sorted, and no two overlap or touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl Spans {
    /// Sorts and merges spans. Empty spans are dropped.
    pub fn of(mut spans: Vec<Span>) -> Self {
        spans.retain(|span| span.start < span.end);
        spans.sort();
        let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match joined.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => joined.push(span),
            }
        }
        Self(joined)
    }

    /// The spans in order.
    pub fn as_slice(&self) -> &[Span] {
        &self.0
    }

    /// Whether an instant is inside one of the spans.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.from(at).first().is_some_and(|span| span.start <= at)
    }

    /// The spans that end after an instant.
    pub fn from(&self, at: DateTime<Utc>) -> &[Span] {
        &self.0[self.0.partition_point(|span| span.end <= at)..]
    }

    /// The parts of the spans that lie within `whole`.
    pub fn within(&self, whole: Span) -> Self {
        let rest = self.from(whole.start).iter().take_while(|span| span.start < whole.end);
        let cut = |span: &Span| Span { start: span.start.max(whole.start), end: span.end.min(whole.end) };
        Self(rest.map(cut).collect())
    }

    /// The union of both sets.
    pub fn and(mut self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self;
        }
        self.0.extend(&others.0);
        Self::of(self.0)
    }

    /// The difference of both sets.
    pub fn without(self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self;
        }
        let mut left = Vec::with_capacity(self.0.len());
        for mut span in self.0 {
            for other in others.from(span.start) {
                if other.start >= span.end {
                    break;
                }
                left.push(Span { start: span.start, end: other.start });
                span.start = other.end;
            }
            left.push(span);
        }
        Self::of(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ends: &[(i64, i64)]) -> Spans {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("an instant");
        Spans::of(ends.iter().map(|(start, end)| Span { start: at(*start), end: at(*end) }).collect())
    }

    #[test]
    fn spans_are_joined_and_cut() {
        assert_eq!(spans(&[(5, 9), (1, 5), (20, 20), (7, 8)]), spans(&[(1, 9)]));
        assert_eq!(spans(&[(1, 3)]).and(&spans(&[(3, 4), (6, 7)])), spans(&[(1, 4), (6, 7)]));
        assert_eq!(
            spans(&[(1, 9), (20, 30)]).without(&spans(&[(0, 2), (4, 5), (8, 25)])),
            spans(&[(2, 4), (5, 8), (25, 30)])
        );
        let whole = spans(&[(3, 6)]).as_slice()[0];
        assert_eq!(spans(&[(1, 4), (5, 9)]).within(whole), spans(&[(3, 4), (5, 6)]));
    }
}
