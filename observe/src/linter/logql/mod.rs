//! Queries of Loki, as far as a rule must know them: whether one is valid, and how far it looks back.
//!
//! No page here asks Loki today. One that does will be held to the rules from its first query.

mod parse;
mod tokens;

use super::fill::fill;
use parse::Parser;

/// Every range that a query looks back for, as it is written; or why it is no query.
pub fn parse(query: &str) -> Result<Vec<String>, String> {
    let filled = fill(query, |name| {
        ["__auto", "__interval", "__range", "__rate_interval"].contains(&name).then(|| "12345ms".to_owned())
    });
    Parser::new(tokens::tokens(&filled)?).query()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_loki_takes() {
        for query in [
            r#"{job="a", level!~"debug|info"} |= "x" or "y" != `z` |~ "(?i)e" | json | status >= 500 and duration > 1.5s"#,
            r#"{a="b"} | logfmt --strict msg, other="the.other" | line_format "{{.msg}}" | label_format a=b, c="{{.d}}" | drop x, y="1""#,
            r#"{a="b"} | pattern "<_> <level>" | decolorize | (level="error" or size > 20MB), ip = ip("10.0.0.0/8")"#,
            r#"{a="b"} |= ip("10.0.0.1") | regexp "(?P<x>.)" | unpack | keep x"#,
            r#"topk(5, sum by (name) (rate({a="b"} | json [$__auto])) / 2 > bool 1)"#,
            r#"sum(quantile_over_time(0.99, {a="b"} | unwrap duration(took) | __error__="" [5m] offset 1h) by (x)) without (y) or vector(0)"#,
            r#"count_over_time({a="b"}[1h30m] |= "x") and on (a) group_left (b) -1 * (absent_over_time({c="d"}[5m]))"#,
            r#"label_replace(rate({a="b"}[1m]), "x", "$1", "y", "(.*)") # and a remark"#,
        ] {
            assert_eq!(parse(query).err(), None, "{query}");
        }
    }

    #[test]
    fn what_it_does_not_take() {
        for query in [
            "",
            "{}",
            "up",
            r#"{a=~".*"}"#,
            r#"{a="b""#,
            r#"{a="b} |= "x""#,
            r#"{a="b"} |= x"#,
            r#"{a="b"} | json |"#,
            r#"{a="b"} | status >="#,
            r#"{a="b"}[5m]"#,
            r#"rate({a="b"})"#,
            r#"rate({a="b"}[5m)"#,
            r#"rate({a="b"}[five])"#,
            r#"sum(rate({a="b"}[5m])"#,
            r#"sum({a="b"})"#,
            r#"quantile_over_time({a="b"} | unwrap x [5m])"#,
            r#"sum_over_time({a="b"}[5m])"#,
            r#"rate({a="b"}[5m]) +"#,
            r#"{a="b"} + 1"#,
            r#"rate({a="b"}[5m]) extra"#,
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn every_range_is_told_as_it_is_written() {
        assert_eq!(
            parse(r#"rate({a="[9m]"}[5m]) / rate({a="b"} | json [$__auto])"#).unwrap(),
            ["5m", "12345ms"]
        );
        assert_eq!(parse(r#"{a="b"}"#).unwrap(), [""; 0]);
    }
}
