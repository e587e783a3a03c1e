//! `/docs`: the description as one page that fetches nothing, from here or elsewhere.

mod schema;

use super::problem::{KEY_REUSED, KEY_REUSED_TITLE, title};
use chassis_abi::Code;
use schema::{fields, kind};
use serde_json::Value;
use std::fmt::{self, Write};

/// What the page may do, which is to show itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page of an OpenAPI document.
pub fn page(document: &Value) -> String {
    let mut html = String::new();
    // Writing into a string does not fail.
    let _ = write_page(&mut html, document);
    html
}

fn write_page(out: &mut String, document: &Value) -> fmt::Result {
    let name = text(&document["info"]["title"]);
    write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{name}</title><style>{}</style><h1>{name}</h1><p>{} {}</p>\
         <p>As data: <a href=\"/openapi.json\">/openapi.json</a>. See also <a href=\"/health\">/health</a>, \
         <a href=\"/metrics\">/metrics</a>, <a href=\"/v1/plugins\">/v1/plugins</a>.</p>",
        include_str!("docs.css"),
        text(&document["info"]["version"]),
        marked(&document["info"]["description"]),
    )?;
    let tags = || document["tags"].as_array().into_iter().flatten();
    out.push_str("<nav>");
    for tag in tags() {
        write!(out, "<a href=\"#tag-{0}\">{0}</a>", text(&tag["name"]))?;
    }
    out.push_str("<a href=\"#headers\">Headers</a><a href=\"#errors\">Errors</a><a href=\"#schemas\">Schemas</a></nav>");
    for tag in tags() {
        let name = text(&tag["name"]);
        write!(out, "<h2 id=\"tag-{name}\">{name}</h2><p>{}</p>", marked(&tag["description"]))?;
        for (path, method, operation) in operations(document).filter(|(.., op)| op["tags"][0] == tag["name"])
        {
            write_operation(out, document, path, method, operation)?;
        }
    }
    write_headers(out, document)?;
    write_errors(out)?;
    out.push_str("<h2 id=schemas>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        write!(out, "<details id=\"schema-{0}\"><summary><code>{0}</code></summary>", escape(name))?;
        write!(out, "<p>{}</p>", marked(&schema["description"]))?;
        fields(out, document, schema)?;
        out.push_str("</details>");
    }
    Ok(())
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"].as_object().into_iter().flatten().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, op)| (path.as_str(), method.as_str(), op))
    })
}

fn write_operation(
    out: &mut String,
    document: &Value,
    path: &str,
    method: &str,
    operation: &Value,
) -> fmt::Result {
    write!(
        out,
        "<details id=\"{}\"><summary><b>{}</b> <code>{}</code><span>{}</span></summary><p>{}</p>",
        text(&operation["operationId"]),
        escape(&method.to_uppercase()),
        escape(path),
        marked(&operation["summary"]),
        marked(&operation["description"]),
    )?;
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        write!(out, "<p>Takes <code>{}</code> {}</p>", escape(media), kind(&content["schema"]))?;
        fields(out, document, &content["schema"])?;
    }
    for (media, content) in operation["responses"]["200"]["content"].as_object().into_iter().flatten() {
        write!(out, "<p>Answers <code>{}</code> {}</p>", escape(media), kind(&content["schema"]))?;
        fields(out, document, &content["schema"])?;
    }
    if operation["requestBody"]["content"]["application/json"].is_object() {
        write!(
            out,
            "<pre>curl -sS http://127.0.0.1:7700{} -H 'Content-Type: application/json' -d '{{…}}'</pre>",
            escape(path)
        )?;
    }
    out.push_str("</details>");
    Ok(())
}

fn write_headers(out: &mut String, document: &Value) -> fmt::Result {
    out.push_str("<h2 id=headers>Headers</h2><table><tr><th>Header<th>Meaning<th>Example");
    for parameter in document["components"]["parameters"].as_object().into_iter().flat_map(|all| all.values())
    {
        write!(
            out,
            "<tr><td><code>{}</code><td>{}<td><code>{}</code>",
            text(&parameter["name"]),
            marked(&parameter["description"]),
            text(&parameter["example"])
        )?;
    }
    out.push_str("</table>");
    Ok(())
}

fn write_errors(out: &mut String) -> fmt::Result {
    out.push_str(
        "<h2 id=errors>Errors</h2><p>Problem documents (RFC 9457), <a href=\"#schema-Problem\">with these members</a>.</p>\
         <table><tr><th>Code<th>Status<th>Meaning",
    );
    for code in Code::ALL {
        let (name, status, title) = (code.as_str(), code.http_status(), title(*code));
        write!(out, "<tr id=\"{name}\"><td><code>{name}</code><td>{status}<td>{title}")?;
    }
    write!(
        out,
        "<tr id=\"{KEY_REUSED}\"><td><code>{}</code><td>422<td>{KEY_REUSED_TITLE}",
        Code::InvalidArgument.as_str()
    )?;
    out.push_str("</table>");
    Ok(())
}

/// A string of the document, safe in HTML.
fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

/// The same, with what stands between backticks as code.
fn marked(value: &Value) -> String {
    let mut html = String::new();
    for (at, part) in text(value).split('`').enumerate() {
        let _ = if at % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_manifest_becomes_markup() {
        let document = serde_json::json!({
            "info": { "title": "<script>", "description": "`a<b`" },
            "tags": [{ "name": "x\"onload=1", "description": "<img>" }],
            "paths": { "/<i>": { "post": { "tags": ["x\"onload=1"], "summary": "'&" } } },
            "components": { "schemas": { "<b>": { "properties": { "<u>": { "enum": ["<s>"] } } } } },
        });
        let html = page(&document);
        for tag in ["<script", "<img", "<i>", "<b>&", "<u>", "<s>", "x\"onload"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(html.contains("<code>a&lt;b</code>"));
    }
}
