//! Values that have the right type and still make no sense: told before anything starts, not when it is too late.

use super::interpolate::STATIC;
use super::problem::{Problem, Problems, did_you_mean};
use super::tree::{Node, Origin, Value};
use crate::{edge, telemetry};
use std::collections::BTreeMap;
use std::str::FromStr;

/// Checks `[telemetry]`: which lines are logged, and where spans go.
pub fn check_telemetry(config: &telemetry::Config, tree: &Node, problems: &mut Problems) {
    let mut tell = |key: &str, problem: Problem| {
        let at = tree.at(["telemetry", key]).map_or(Origin::Default, |node| node.origin.clone());
        problems.0.push(problem.at(&at).field(format!("telemetry.{key}")));
    };
    if let Some(problem) = config.log.split(',').find_map(directive_problem) {
        tell("log", problem);
    }
    let endpoint = config.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let is_http = |text: &str| {
        url::Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
    };
    if endpoint.is_some_and(|endpoint| !is_http(endpoint)) {
        let advice = "write http://host:port, such as http://127.0.0.1:4317";
        tell("otlp_endpoint", Problem::new("not the address of a collector").advice(advice));
    }
}

/// Checks `[edge]`: an edge that takes nothing is a mistake.
pub fn check_edge(edge: &edge::Settings, tree: &Node, problems: &mut Problems) {
    let nothing = [
        ("body_limit", edge.body_limit.0 == 0),
        ("header_timeout", edge.header_timeout.0.is_zero()),
        ("body_timeout", edge.body_timeout.0.is_zero()),
        ("write_timeout", edge.write_timeout.0.is_zero()),
        ("connection_limit", edge.connection_limit == 0),
        ("stream_window", edge.stream_window == 0),
    ];
    for (key, _) in nothing.into_iter().filter(|(_, is_nothing)| *is_nothing) {
        let at = tree.at(["edge", key]).map_or(Origin::Default, |node| node.origin.clone());
        let problem = Problem::new("0 is not endless: it would let no request through")
            .at(&at)
            .field(format!("edge.{key}"));
        problems.0.push(problem.advice("leave it out for the default"));
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is wrong with `level` or `module=level`. A bare word would also be taken for a module, and with it every misspelt level.
fn directive_problem(directive: &str) -> Option<Problem> {
    if directive.is_empty() {
        return None;
    }
    let level = match directive.rsplit_once('=') {
        // Of what stands in brackets the `=` is no level's.
        Some((_, level)) if !level.contains([']', '}']) => level,
        Some(_) => return unreadable(directive),
        None if directive.contains(['[', ':']) => return unreadable(directive),
        None => directive,
    };
    if LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
        return unreadable(directive);
    }
    let problem = Problem::new(format!("`{level}` is no level of the log"));
    match did_you_mean(level, LEVELS) {
        Some(advice) if directive == level && advice.starts_with("one of") => {
            Some(problem.advice(format!("{advice}; or `{level}=debug` for the lines of a module")))
        }
        _ => Some(problem.known(level, LEVELS)),
    }
}

fn unreadable(directive: &str) -> Option<Problem> {
    let error = tracing_subscriber::filter::Directive::from_str(directive).err()?;
    let problem = Problem::new(format!("`{directive}` cannot be read: {error}"));
    Some(problem.advice("write for example `info,chassis=debug`"))
}

/// Checks every `${static:NAME}`: that there is such a server, and that it stands where it is filled in.
pub fn check_statics<T>(tree: &Node, statics: &BTreeMap<String, T>, problems: &mut Problems) {
    each_text(tree, &mut Vec::new(), &mut |path, origin, text| {
        for name in text.split("${").skip(1).filter_map(|rest| rest.split_once('}')?.0.strip_prefix(STATIC)) {
            let problem = if !matches!(path, ["instances", _, "config", ..]) {
                Problem::new(
                    "the address of a static server is filled in only in the `config` of an instance",
                )
            } else if !statics.contains_key(name) {
                let problem = Problem::new(format!("there is no static server `{name}`"));
                match statics.is_empty() {
                    true => problem.advice(format!("add [static.{name}] with `listen` and `dir`")),
                    false => problem.known(name, statics.keys().map(String::as_str)),
                }
            } else {
                continue;
            };
            problems.0.push(problem.at(origin).field(path.join(".")));
        }
    });
}

fn each_text<'a>(node: &'a Node, path: &mut Vec<&'a str>, visit: &mut impl FnMut(&[&str], &Origin, &str)) {
    match &node.value {
        Value::Text(text) => visit(path, &node.origin, &text.text),
        Value::List(list) => list.iter().for_each(|node| each_text(node, path, visit)),
        Value::Table(table) => {
            for (key, node) in table {
                path.push(key);
                each_text(node, path, visit);
                path.pop();
            }
        }
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_of_the_log_are_read_as_people_write_them() {
        for right in ["info", "off", "WARN", "chassis=debug", "hyper::client=trace", "[call]=debug", ""] {
            assert!(directive_problem(right).is_none(), "{right}: {:?}", directive_problem(right));
            assert!(tracing_subscriber::EnvFilter::try_new(format!("warn,{right}")).is_ok(), "{right}");
        }
        for (wrong, told) in [
            ("inof", "`inof` is no level of the log; did you mean `info`?"),
            ("chassis=debgu", "`debgu` is no level of the log; did you mean `debug`?"),
            (" chassis=debug", "` chassis=debug` cannot be read: "),
            ("hyper", "`hyper` is no level of the log; one of: off, error"),
        ] {
            let problem = directive_problem(wrong).map(|problem| problem.to_string()).unwrap_or_default();
            assert!(problem.starts_with(told), "{wrong}: {problem}");
        }
    }
}
