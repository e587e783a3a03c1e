//! What a person sees: one line per event on stderr, so that stdout stays clean for data.

use std::time::Duration;

/// Says one thing about one part of the work.
pub fn say(who: &str, what: &str) {
    eprintln!("{who:<14} {what}");
}

/// A duration as people read it: `0.4 s`, `12 s`, `3 min 05 s`.
pub fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        10..=119 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(took(Duration::from_millis(420)), "0.4 s");
        assert_eq!(took(Duration::from_secs(14)), "14 s");
        assert_eq!(took(Duration::from_secs(185)), "3 min 05 s");
    }
}
