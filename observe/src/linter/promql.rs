//! Queries of Prometheus: parsed, and walked through with all that is above each part.

use super::fill::fill;
use anyhow::{Result, anyhow};
use promql_parser::label::{MatchOp, Matcher};
pub use promql_parser::parser::{Expr, VectorSelector};
use std::collections::BTreeSet;
use std::time::Duration;

/// What stands for `$__rate_interval` when a query is parsed: nobody writes it by hand, and the parser takes no more than 32 bits.
pub const RATE_INTERVAL: Duration = Duration::from_millis(886_999_078);

/// Parses a query, variables in it.
pub fn parse(query: &str) -> Result<Expr> {
    let filled = fill(query, |name| {
        Some(match name {
            "__rate_interval" => format!("{}ms", RATE_INTERVAL.as_millis()),
            "__interval" | "__range" => "3600000ms".to_owned(),
            "__interval_ms" | "__range_ms" | "__range_s" | "__from" | "__to" => "3600".to_owned(),
            _ => return None,
        })
    });
    promql_parser::parser::parse(&filled).map_err(|error| anyhow!(error))
}

/// Goes through an expression, from the outside in; with each part come those that it is in, the outermost first.
pub fn walk<'a>(expr: &'a Expr, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
    go(expr, &mut Vec::new(), visit);
}

fn go<'a>(expr: &'a Expr, above: &mut Vec<&'a Expr>, visit: &mut impl FnMut(&'a Expr, &[&'a Expr])) {
    visit(expr, above);
    above.push(expr);
    match expr {
        Expr::Aggregate(aggregate) => {
            aggregate.param.iter().for_each(|param| go(param, above, visit));
            go(&aggregate.expr, above, visit);
        }
        Expr::Unary(unary) => go(&unary.expr, above, visit),
        Expr::Binary(binary) => {
            go(&binary.lhs, above, visit);
            go(&binary.rhs, above, visit);
        }
        Expr::Paren(paren) => go(&paren.expr, above, visit),
        Expr::Subquery(subquery) => go(&subquery.expr, above, visit),
        Expr::Call(call) => call.args.args.iter().for_each(|arg| go(arg, above, visit)),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
    above.pop();
}

/// Every selector of an expression, those with a range too.
pub fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    walk(expr, &mut |part, _| match part {
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) => found.push(&matrix.vs),
        _ => {}
    });
    found
}

/// The metric that a selector names, by itself or as the label `__name__`.
pub fn metric(selector: &VectorSelector) -> Option<&str> {
    let by_label = || {
        let named = |matcher: &&Matcher| matcher.name == "__name__" && matches!(matcher.op, MatchOp::Equal);
        selector.matchers.matchers.iter().find(named).map(|matcher| matcher.value.as_str())
    };
    selector.name.as_deref().or_else(by_label)
}

/// Whether a selector says `label=~"value"`.
pub fn matches(selector: &VectorSelector, label: &str, value: &str) -> bool {
    let right = |matcher: &Matcher| {
        matcher.name == label && matcher.value == value && matches!(matcher.op, MatchOp::Re(_))
    };
    selector.matchers.matchers.iter().any(right)
}

/// Every metric that a query names. Nothing of one that cannot be parsed: a rule says so.
pub fn metrics(query: &str) -> BTreeSet<String> {
    let Ok(expr) = parse(query) else { return BTreeSet::new() };
    selectors(&expr).into_iter().filter_map(metric).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_is_found_and_what_is_above_it() {
        let query = r#"topk(3, sum by (a) (rate(x_total{b="c"}[$__rate_interval])) / (-y offset 5m) or max_over_time(z[1h:1m]))"#;
        assert_eq!(metrics(query), ["x_total", "y", "z"].map(str::to_owned).into());
        let (expr, mut above_x) = (parse(query).unwrap(), 0);
        walk(&expr, &mut |part, above| {
            if let Expr::MatrixSelector(matrix) = part {
                assert_eq!((matrix.range, matrix.vs.name.as_deref()), (RATE_INTERVAL, Some("x_total")));
                above_x = above.len();
            }
        });
        assert_eq!(above_x, 5);
    }

    #[test]
    fn what_is_no_query_is_refused() {
        assert!(parse("sum(rate(x[5m])").is_err());
        assert!(parse("rate(x)").is_err());
        assert!(parse("").is_err());
        assert!(metrics("sum(").is_empty());
    }
}
