//! The same rules in less time: every window, `for` and interval divided by one factor.

/// Divides the durations of a file of Prometheus or Alertmanager. Names of recording rules, such as `…:rate5m`, stay as they are.
pub fn shorten(text: &str, factor: u32) -> String {
    if factor <= 1 {
        return text.to_owned();
    }
    text.lines().map(|line| shorten_line(line, factor) + "\n").collect()
}

/// The keys whose value is a duration.
const KEYS: [&str; 8] = [
    "for:",
    "scrape_interval:",
    "scrape_timeout:",
    "evaluation_interval:",
    "interval:",
    "group_wait:",
    "group_interval:",
    "resolve_timeout:",
];

fn shorten_line(line: &str, factor: u32) -> String {
    let trimmed = line.trim_start().trim_start_matches("- ");
    if let Some(key) = KEYS.iter().find(|key| trimmed.starts_with(**key))
        && let Some(at) = line.find(key)
    {
        let (before, value) = line.split_at(at + key.len());
        let value = value.split('#').next().unwrap_or_default().trim();
        return match divided(value, factor) {
            Some(short) => format!("{before} {short}"),
            None => line.to_owned(),
        };
    }
    // Ranges of PromQL: `[5m]`, `[1h:1m]`; and `offset 5m`.
    let mut short = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(begin) = rest.find('[') {
        let (before, inside) = rest.split_at(begin + 1);
        let Some(end) = inside.find(']') else { break };
        let range: Option<Vec<String>> = inside[..end].split(':').map(|part| divided(part, factor)).collect();
        short += before;
        short += &range.map_or_else(|| inside[..end].to_owned(), |parts| parts.join(":"));
        rest = &inside[end..];
    }
    short + rest
}

/// `5m` by 60 is `5000ms`; not less than a second, which is what is scraped and evaluated in.
fn divided(text: &str, factor: u32) -> Option<String> {
    let at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    let unit = match &text[at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(format!("{}ms", (number * unit / u64::from(factor)).max(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_waits_are_divided_and_names_stay() {
        for (line, short) in [
            ("        for: 2m", "        for: 2000ms"),
            (
                "    expr: rate(a[5m]) / x:rate5m{a=\"[b]\"}",
                "    expr: rate(a[5000ms]) / x:rate5m{a=\"[b]\"}",
            ),
            ("max_over_time(a[1h:1m])", "max_over_time(a[60000ms:1000ms])"),
            ("  scrape_interval: 5s # often", "  scrape_interval: 1000ms"),
            ("  - record: job:rate1h", "  - record: job:rate1h"),
        ] {
            assert_eq!(shorten(line, 60), format!("{short}\n"));
        }
        assert_eq!(shorten("for: 2m", 1), "for: 2m");
    }
}
