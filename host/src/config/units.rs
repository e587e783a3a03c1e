//! Sizes and times as people write them: `"1MiB"`, `"250ms"`, or a plain number of bytes or milliseconds.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

const SIZES: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];
const SPANS: &[(&str, u64)] = &[
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

impl Size {
    /// As a number that a buffer takes.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    /// So many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// So many seconds.
    pub const fn secs(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_exact(f, self.0, SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        write_exact(f, nanos, &[("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)])
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a size such as \"1MiB\", or a number of bytes";
        deserializer.deserialize_any(Unit { table: SIZES, plain: 1, expecting }).map(Size)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expecting = "a time such as \"250ms\" or \"10s\", or a number of milliseconds";
        let nanos = deserializer.deserialize_any(Unit { table: SPANS, plain: 1_000_000, expecting })?;
        Ok(Span(Duration::from_nanos(nanos)))
    }
}

/// For `#[serde(deserialize_with)]` on a plain [`Duration`].
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Span::deserialize(deserializer).map(|span| span.0)
}

/// For `#[serde(deserialize_with)]` on a plain number of bytes.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    Size::deserialize(deserializer).map(Size::bytes)
}

struct Unit {
    table: &'static [(&'static str, u64)],
    plain: u64,
    expecting: &'static str,
}

impl Visitor<'_> for Unit {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
        let value = u64::try_from(value)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self.expecting))?;
        self.visit_u64(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
        value.checked_mul(self.plain).ok_or_else(|| E::custom("the number is too large"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text, self.table, self.plain)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self.expecting))
    }
}

fn parse(text: &str, table: &[(&str, u64)], plain: u64) -> Option<u64> {
    let text = text.trim();
    let (number, factor) = table
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
        .unwrap_or((text, plain));
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => {
            let number = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
            Some((number * factor as f64) as u64)
        }
    }
}

fn write_exact(f: &mut fmt::Formatter<'_>, count: u64, table: &[(&str, u64)]) -> fmt::Result {
    let exact = table
        .iter()
        .filter(|(_, factor)| count != 0 && count.is_multiple_of(*factor))
        .max_by_key(|(_, factor)| factor);
    match exact {
        Some((unit, factor)) => write!(f, "{}{unit}", count / factor),
        None => write!(f, "{count}{}", table.last().map_or("", |(unit, _)| unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_as_people_write_them() {
        let size = |text: &str| parse(text, SIZES, 1);
        let span = |text: &str| parse(text, SPANS, 1_000_000).map(Duration::from_nanos);
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("1.5 KiB"), Some(1536));
        assert_eq!(size("many"), None);
        assert_eq!(size("-1B"), None);
        assert_eq!(span("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(span("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(span("2m"), Some(Duration::from_secs(120)));
        assert_eq!(span("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(span("40"), Some(Duration::from_millis(40)));
        assert_eq!(span("99999999999999h"), None);
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for bytes in [0, 1, 1000, 1024, 1 << 20, 1_500_000, 3 << 30] {
            assert_eq!(parse(&Size(bytes).to_string(), SIZES, 1), Some(bytes));
        }
        for millis in [0, 1, 250, 1000, 1500, 60_000] {
            let shown = Span::millis(millis).to_string();
            assert_eq!(parse(&shown, SPANS, 1_000_000), Some(millis * 1_000_000), "{shown}");
        }
    }
}
