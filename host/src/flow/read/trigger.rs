//! Reads `[[triggers]]`.

use super::super::document::{Fields, Node, Problem, Problems, unknown};
use super::super::expression::Names;
use super::super::template::Template;
use super::super::trigger::{Kind, Route, Schedule, Source, Trigger};

const KINDS: &[&str] = &["http", "queue", "schedule", "start"];
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
/// Messages at once, where nothing is said.
const PREFETCH: u16 = 16;
/// Deliveries of a message, where nothing is said.
const DELIVERIES: u32 = 5;

/// Reads all triggers of a flow.
pub fn all(node: &Node<'_>, problems: &mut Problems) -> Vec<Trigger> {
    let nodes = node.list().map_err(|problem| problem.advice("write [[triggers]], with two brackets"));
    let nodes = problems.keep(nodes).unwrap_or_default();
    nodes.iter().filter_map(|node| trigger(node, problems)).collect()
}

fn trigger(node: &Node<'_>, problems: &mut Problems) -> Option<Trigger> {
    let fields = problems.keep(node.fields())?;
    let kind = problems.keep(fields.require("kind"))?;
    let word = problems.keep(kind.text())?;
    let (own, sees): (&[&str], &[&str]) = match word {
        "http" => (&["kind", "input", "method", "path"], &["request", "roles"]),
        "queue" => (
            &["kind", "input", "role", "queue", "prefetch", "dead_letter", "max_deliveries"],
            &["message", "roles"],
        ),
        "schedule" => (&["kind", "input", "cron"], &["tick", "roles"]),
        "start" => (&["kind", "input"], &["roles"]),
        _ => {
            problems.add(kind.problem(unknown("kind of trigger", word, KINDS)));
            return None;
        }
    };
    fields.only(own, problems);
    let visible = Names { input: &[], steps: &[], roots: sees };
    let input = fields.get("input").map(|node| Template::compile(&node, visible, problems));
    let kind = match word {
        "http" => Kind::Http(route(&fields, input.is_some(), problems)?),
        "queue" => Kind::Queue(source(&fields, problems)?),
        "schedule" => {
            let cron = problems.keep(fields.require("cron"))?;
            let read =
                cron.text().and_then(|text| Schedule::parse(text).map_err(|reason| cron.problem(reason)));
            Kind::Schedule(problems.keep(read)?)
        }
        _ => Kind::Start,
    };
    Some(Trigger { kind, input })
}

fn route(fields: &Fields<'_>, mapped: bool, problems: &mut Problems) -> Option<Route> {
    let method = fields.read("method", problems, |node| {
        let method = node.text()?;
        let known = METHODS.contains(&method);
        if known { Ok(method.to_owned()) } else { Err(node.problem(unknown("method", method, METHODS))) }
    });
    let node = problems.keep(fields.require("path"))?;
    let path = problems.keep(path(&node))?;
    let route = Route { method: method.unwrap_or_else(|| "POST".to_owned()), path };
    if let Some(parameter) = route.parameters().next().filter(|_| !mapped) {
        let message =
            format!("nothing takes `{parameter}`: say `input`, with `${{request.path.{parameter}}}`");
        problems.add(node.problem(message));
    }
    Some(route)
}

fn path(node: &Node<'_>) -> Result<String, Problem> {
    let path = node.text()?;
    let Some(segments) = path.strip_prefix('/') else {
        return Err(node.problem("must begin with `/`"));
    };
    let mut names = Vec::new();
    for segment in segments.split('/') {
        let name = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        let plain = name.unwrap_or(segment);
        let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '~');
        if plain.is_empty() || !plain.chars().all(allowed) {
            let message = "each part must be letters, digits, `_`, `-`, `.` or `~`, or one name in braces: `/users/{id}`";
            return Err(node.problem(message));
        }
        if let Some(name) = name {
            if !name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_') || names.contains(&name)
            {
                let message =
                    format!("`{{{name}}}`: a name has letters, digits and `_`, and stands once in a path");
                return Err(node.problem(message));
            }
            names.push(name);
        }
    }
    Ok(path.to_owned())
}

fn source(fields: &Fields<'_>, problems: &mut Problems) -> Option<Source> {
    let text = |node: &Node<'_>| {
        let text = node.text()?;
        if text.is_empty() { Err(node.problem("must not be empty")) } else { Ok(text.to_owned()) }
    };
    let role = problems.keep(fields.require("role").and_then(|node| text(&node)));
    let queue = problems.keep(fields.require("queue").and_then(|node| text(&node)));
    let prefetch = fields.read("prefetch", problems, |node| {
        u16::try_from(node.number(1)?).map_err(|_| node.problem("must be at most 65535"))
    });
    let dead_letter = fields.read("dead_letter", problems, text);
    let max_deliveries = fields.read("max_deliveries", problems, |node| node.number(1));
    let queue = queue?;
    if let Some(node) = fields.get("dead_letter")
        && dead_letter.as_ref() == Some(&queue)
    {
        problems.add(node.problem("is the queue itself: its messages would go round for ever"));
    }
    Some(Source {
        role: role?,
        queue,
        prefetch: prefetch.unwrap_or(PREFETCH),
        dead_letter,
        max_deliveries: max_deliveries.unwrap_or(DELIVERIES),
    })
}
