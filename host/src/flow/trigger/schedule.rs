//! Times at which a flow runs, as cron writes them, in UTC.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A schedule: `0 3 * * *` is three o'clock at night.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    /// Large.
    cron: Box<Cron>,
}

impl Schedule {
    /// Reads minute, hour, day of the month, month and day of the week; a sixth field before them is the second.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!("`{text}` is no schedule: {error}; write minute, hour, day, month and day of the week: \"0 3 * * *\"")
        })?;
        let schedule = Self { text: text.to_owned(), cron: Box::new(cron) };
        match schedule.after(0) {
            Some(_) => Ok(schedule),
            None => Err(format!("`{text}` never comes")),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first of its times after a time; both in milliseconds since 1970.
    pub fn after(&self, ms: i64) -> Option<i64> {
        let time = chrono::DateTime::from_timestamp_millis(ms)?;
        self.cron.find_next_occurrence(&time, false).ok().map(|next| next.timestamp_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    /// 2024-02-29T12:00:00Z.
    const LEAP_DAY: i64 = 1_709_208_000_000;

    #[test]
    fn the_next_time_is_after_and_never_the_same() {
        let hourly = Schedule::parse("0 * * * *").unwrap();
        assert_eq!(hourly.after(LEAP_DAY), Some(LEAP_DAY + 3_600_000));
        assert_eq!(hourly.after(LEAP_DAY - 1), Some(LEAP_DAY));
        let seconds = Schedule::parse("*/10 * * * * *").unwrap();
        assert_eq!(seconds.after(LEAP_DAY + 1), Some(LEAP_DAY + 10_000));
        let mondays = Schedule::parse("30 2 * * MON").unwrap();
        // The Monday after is 2024-03-04T02:30:00Z.
        assert_eq!(mondays.after(LEAP_DAY), Some(1_709_519_400_000));
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (text, told) in [
            ("61 * * * *", "is no schedule"),
            ("* * *", "is no schedule"),
            ("every day", "is no schedule"),
            ("0 0 30 2 *", "never comes"),
        ] {
            let message = Schedule::parse(text).unwrap_err();
            assert!(message.contains(told), "{text}: {message}");
        }
    }
}
