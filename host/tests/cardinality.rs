//! However many users, paths and errors there are, the number of series stays what it was after the first of each.

#![allow(clippy::unwrap_used)]

mod edge_support;
mod process_support;

use bytes::Bytes;
use chassis::app::App;
use chassis::config::{Config, Source};
use edge_support::{Running, read, request, serve};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use process_support::House;
use std::collections::BTreeSet;

const MANY: usize = 1_000;

const GREET: &str = r#"
[input]
text = "string"
[steps.said]
call = "voice.echo"
input = { value = "${input.text}" }
undo = "none"
[output]
said = "${steps.said.output.value}"
[[triggers]]
kind = "http"
path = "/greetings/{name}"
input.text = "${request.path.name}"
"#;

/// A kind of request; what `{n}` stands for is another one each time.
struct Kind {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    header: (&'static str, &'static str),
    body: &'static str,
    status: u16,
}

const CALL: &str = "/v1/instances/echo/echo";
const JSON: (&str, &str) = ("content-type", "application/json");
const OK: Kind =
    Kind { name: "", method: "POST", path: CALL, header: JSON, body: r#"{"value":1}"#, status: 200 };

const KINDS: &[Kind] = &[
    Kind { name: "user ids", body: r#"{"value":{"user_id":{n}}}"#, ..OK },
    Kind { name: "flow inputs", path: "/v1/flows/greet", body: r#"{"text":"user {n}"}"#, ..OK },
    Kind { name: "paths of a flow", path: "/greetings/user-{n}", body: "{}", ..OK },
    Kind { name: "paths that lead nowhere", method: "GET", path: "/nowhere/{n}", status: 404, ..OK },
    Kind { name: "instances that are not there", path: "/v1/instances/no-{n}/get", status: 404, ..OK },
    Kind { name: "operations that are not there", path: "/v1/instances/echo/no-{n}", status: 404, ..OK },
    Kind { name: "flows that are not there", path: "/v1/flows/no-{n}", status: 404, ..OK },
    Kind { name: "methods", method: "M{n}", path: "/v1/flows", status: 405, ..OK },
    Kind { name: "error texts", body: r#"{"value":1,"field_{n}":1}"#, status: 400, ..OK },
    Kind { name: "tenants", header: ("x-tenant", "tenant-{n}"), ..OK },
    Kind { name: "idempotency keys", header: ("idempotency-key", "key-{n}"), ..OK },
    Kind { name: "user agents", header: ("user-agent", "agent/{n}"), ..OK },
];

async fn send(client: &mut SendRequest<Full<Bytes>>, kind: &Kind, n: usize) {
    let filled = |text: &str| text.replace("{n}", &n.to_string());
    let headers = [JSON, (kind.header.0, &filled(kind.header.1))];
    // One header of a name.
    let headers = if kind.header.0 == JSON.0 { &headers[..1] } else { &headers };
    let request = request(&filled(kind.method), &filled(kind.path), headers, filled(kind.body).as_bytes());
    client.ready().await.unwrap();
    let answer = read(client.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status, kind.status, "{} {n}: {answer:?}", kind.name);
}

/// Every series, without its value, in both forms.
async fn series(edge: &Running) -> (BTreeSet<String>, usize) {
    let plain = edge.get("/metrics").await;
    let open = edge.send("GET", "/metrics", &[("accept", "application/openmetrics-text")], b"").await;
    let lines = |body: &Bytes| -> Vec<String> {
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let name = |line: &String| line.split(" # ").next().unwrap().rsplit_once(' ').unwrap().0.to_owned();
    (lines(&plain.body).iter().map(name).collect(), lines(&open.body).len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_of_each_kind_add_no_series() {
    let house = House::new("");
    house.write("flows/greet.toml", GREET);
    house.write(
        "host.toml",
        &format!(
            "plugins_dir = {:?}\nflows_dir = {:?}\n[journal]\nurl = \"memory\"\n[telemetry]\nlog = \"off\"\n\
             [edge]\nlisten = \"127.0.0.1:0\"\n[roles]\nvoice = \"echo\"\n[instances.echo]\nplugin = \"echo\"\n\
             [instances.echo.policy]\ntenant_rate_limit = {{ per_second = 10000, burst = 10000, tenants = 100 }}\n",
            house.path("plugins"),
            house.path("flows"),
        ),
    );
    let app = App::start(Config::load(&Source::File(house.path("host.toml"))).unwrap()).await.unwrap();
    let edge = serve(&app.config.edge, app.edge()).await;
    let mut client = edge.connect().await;
    for kind in KINDS {
        send(&mut client, kind, 0).await;
    }
    series(&edge).await;
    let (before, open) = series(&edge).await;
    assert!(before.len() > 100 && open == before.len(), "{} and {open}", before.len());
    for kind in KINDS {
        for n in 1..=MANY {
            send(&mut client, kind, n).await;
        }
        let (after, open) = series(&edge).await;
        let new: Vec<&String> = after.difference(&before).collect();
        assert!(new.is_empty(), "{MANY} {} made new series: {new:#?}", kind.name);
        assert_eq!(open, before.len(), "{}", kind.name);
    }
    drop(client);
    edge.stop().await;
    app.stop().await;
}
