//! A run on the screen: its steps with their times, and what was taken back.

use super::table;
use serde_json::Value;

/// Draws a run, as `/v1/runs/{id}` answers it.
pub fn draw(run: &Value) {
    let text = |field: &str| run[field].as_str().unwrap_or("-");
    println!("run    {}", text("run_id"));
    println!("flow   {}", text("flow"));
    println!("state  {}", text("state"));
    println!("began  {}, {}", text("created"), took(&run["ms"]));
    println!("trace  {}", text("trace_id"));
    if let Some(taken) = run["taken"].as_u64().filter(|taken| *taken > 0) {
        println!("taken  {taken} times by another host, or another life of one");
    }
    if let Some(error) = run["error"].as_object() {
        let of = |field: &str| error.get(field).and_then(Value::as_str).unwrap_or_default();
        println!("error  {}: {}: {}", of("step"), of("code"), of("message"));
    }
    println!();
    table::print(["", "step", "calls", "state", "tries", "began", "took", "why"], rows(run));
}

fn rows(run: &Value) -> Vec<[String; 8]> {
    let mut rows = Vec::new();
    for step in run["steps"].as_array().into_iter().flatten() {
        let text = |field: &str| step[field].as_str().unwrap_or_default().to_owned();
        let state = text("state");
        let why = |error: &Value| error["message"].as_str().unwrap_or_default().to_owned();
        let tries = step["attempts"].as_u64().filter(|tries| *tries > 0);
        rows.push([
            mark(&state).to_owned(),
            text("name"),
            text("call"),
            state,
            tries.map(|tries| tries.to_string()).unwrap_or_default(),
            // The day stands above.
            text("started").split('T').nth(1).unwrap_or_default().to_owned(),
            took(&step["ms"]),
            why(&step["error"]),
        ]);
        if let Some(undo) = step["undo"].as_object() {
            rows.push([
                String::new(),
                "  ↩ undo".to_owned(),
                undo["call"].as_str().unwrap_or_default().to_owned(),
                String::new(),
                undo["attempts"].to_string(),
                String::new(),
                took(&undo["ms"]),
                undo.get("error").map(why).unwrap_or_default(),
            ]);
        }
    }
    rows
}

fn mark(state: &str) -> &'static str {
    match state {
        "completed" => "✓",
        "undone" => "↩",
        "failed" | "maybe_applied" | "undo_failed" => "✗",
        "running" | "undoing" => "…",
        _ => "·",
    }
}

fn took(ms: &Value) -> String {
    match ms.as_f64() {
        None => String::new(),
        Some(ms) if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        Some(ms) if ms < 1e3 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}
