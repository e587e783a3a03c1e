//! Dates and times, which PostgreSQL counts from 2000 on, as ISO 8601.

const DAY: i64 = 86_400_000_000;

/// Days from 0000-03-01 to 2000-01-01.
const EPOCH: i64 = 730_425;

pub(super) fn date(bytes: &[u8]) -> Option<String> {
    match i32::from_be_bytes(bytes.try_into().ok()?) {
        i32::MAX => Some("infinity".to_owned()),
        i32::MIN => Some("-infinity".to_owned()),
        days => Some(day(days.into())),
    }
}

pub(super) fn time(bytes: &[u8]) -> Option<String> {
    Some(clock(i64::from_be_bytes(bytes.try_into().ok()?)))
}

pub(super) fn timestamp(bytes: &[u8], zone: &str) -> Option<String> {
    match i64::from_be_bytes(bytes.try_into().ok()?) {
        i64::MAX => Some("infinity".to_owned()),
        i64::MIN => Some("-infinity".to_owned()),
        micros => Some(format!("{}T{}{zone}", day(micros.div_euclid(DAY)), clock(micros.rem_euclid(DAY)))),
    }
}

/// Months, days and time are told apart: no month has a fixed length.
pub(super) fn interval(bytes: &[u8]) -> Option<String> {
    let micros = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let days = i32::from_be_bytes(bytes.get(8..12)?.try_into().ok()?);
    let months = i32::from_be_bytes(bytes.get(12..16)?.try_into().ok()?);
    let sign = if micros < 0 { "-" } else { "" };
    let seconds = micros.unsigned_abs() / 1_000_000;
    let fraction = fraction(i64::try_from(micros.unsigned_abs() % 1_000_000).ok()?);
    Some(format!("P{months}M{days}DT{sign}{seconds}{fraction}S"))
}

fn clock(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros % 1_000_000))
}

fn fraction(micros: i64) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}").trim_end_matches('0').to_owned() }
}

/// The civil calendar out of a count of days (Howard Hinnant's algorithm): years begin in March, so that the leap day is the last.
fn day(since_2000: i64) -> String {
    let days = since_2000 + EPOCH;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times() {
        assert_eq!(day(0), "2000-01-01");
        assert_eq!(day(59), "2000-02-29");
        assert_eq!(day(-1), "1999-12-31");
        assert_eq!(day(9_131), "2024-12-31");
        assert_eq!(timestamp(&1_500_000_i64.to_be_bytes(), "Z").as_deref(), Some("2000-01-01T00:00:01.5Z"));
        assert_eq!(timestamp(&(-1_i64).to_be_bytes(), "").as_deref(), Some("1999-12-31T23:59:59.999999"));
    }
}
