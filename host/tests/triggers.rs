//! What starts flows by itself, on a host as a process: requests on paths of their own, messages, times, the start; and flows that
//! change while it runs.

#![allow(clippy::unwrap_used)]

mod process_support;

use process_support::{House, Running};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ECHO: &str = "[journal]\nurl = \"sqlite:journal.db\"\n[instances.echo]\nplugin = \"echo\"\n[roles]\nvoice = \"echo\"\n";

fn get(host: &Running, path: &str) -> Value {
    let (status, body) = host.request("GET", path, "").unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The runs of a flow, the latest first.
fn runs(host: &Running, flow: &str) -> Vec<Value> {
    get(host, &format!("/v1/runs?flow={flow}"))["runs"].as_array().unwrap().clone()
}

/// Looks until it is so; what is seen last is told if it never is.
fn until<T: std::fmt::Debug>(mut look: impl FnMut() -> T, so: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if so(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "still {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_request_to_a_path_of_its_own_starts_a_flow() {
    let house = House::new(ECHO);
    house.write(
        "flows/greet.toml",
        r#"
[input]
text = "string"
loud = { type = "boolean", default = false }
[steps.said]
call = "voice.echo"
input = { value = "${input.text}" }
undo = "none"
[output]
said = "${steps.said.output.value}"
loud = "${input.loud}"
[[triggers]]
kind = "http"
path = "/greetings/{name}"
input.text = "${request.headers['x-word']} ${request.path.name} ${request.body.mark}"
input.loud = "${request.query.loud == 'yes'}"
[[triggers]]
kind = "http"
method = "PUT"
path = "/greetings/all"
"#,
    );
    let host = house.run();
    let word = [("x-word", "good day")];
    let (status, body) =
        host.request_with("POST", "/greetings/Ada%20L?loud=yes", &word, r#"{"mark":"!"}"#).unwrap();
    assert_eq!((status, body.as_str()), (200, r#"{"said":"good day Ada L !","loud":true}"#));
    // Without `input` the body is the input.
    let (status, body) = host.request("PUT", "/greetings/all", r#"{"text":"hello"}"#).unwrap();
    assert_eq!((status, body.as_str()), (200, r#"{"said":"hello","loud":false}"#));

    // What cannot be made is told with what it wants.
    let (status, body) = host.request("POST", "/greetings/ada?loud=no", "{}").unwrap();
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("the input of the http trigger cannot be made"), "{body}");
    let (status, body) = host.request("PUT", "/greetings/all", r#"{"txt":"hello"}"#).unwrap();
    assert!(status == 400 && body.contains("text"), "{status} {body}");
    let (status, body) = host.request("DELETE", "/greetings/all", "").unwrap();
    assert!(status == 405 && body.contains("has no DELETE"), "{status} {body}");
    let (status, body) = host.request("POST", "/greeting/ada", "").unwrap();
    assert!(status == 404 && body.contains("did you mean `/greetings/"), "{status} {body}");

    // The same key is the same run; a run can be waited for, or not.
    let key = [("x-word", "good day"), ("idempotency-key", "k-1")];
    let send = |path| host.request_with("POST", path, &key, r#"{"mark":"."}"#).unwrap();
    let (first, again) = (send("/greetings/bob?loud=no"), send("/greetings/bob?loud=no"));
    assert_eq!((first.0, &first), (200, &again));
    assert_eq!(send("/greetings/eve?loud=no").0, 422);
    let later = [("prefer", "respond-async")];
    assert_eq!(host.request_with("PUT", "/greetings/all", &later, r#"{"text":"b"}"#).unwrap().0, 202);

    // Many paths, one route.
    let (_, metrics) = host.request("GET", "/metrics", "").unwrap();
    assert!(metrics.contains(r#"http_route="/greetings/{name}""#), "{metrics}");
    assert!(!metrics.contains("Ada"));
    let described = get(&host, "/openapi.json");
    let parameters = &described["paths"]["/greetings/{name}"]["post"]["parameters"];
    assert_eq!(parameters[0]["name"], "name");
    assert_eq!(get(&host, "/v1/flows")["flows"][0]["triggers"][0], "http POST /greetings/{name}");
}

#[test]
fn a_flow_starts_with_each_start_of_the_host() {
    let house = House::new(ECHO);
    house.write(
        "flows/begin.toml",
        "[steps.said]\ncall = \"voice.echo\"\ninput = { value = \"on\" }\nundo = \"none\"\n[output]\nsaid = \"${roles.voice}\"\n\
         [[triggers]]\nkind = \"start\"\n",
    );
    for starts in 1..=2 {
        let host = house.run();
        let ended =
            |runs: &Vec<Value>| runs.len() == starts && runs.iter().all(|run| run["state"] == "completed");
        until(|| runs(&host, "begin"), ended);
        host.terminate();
        host.wait();
    }
    // One command is no host that serves.
    assert_eq!(house.chassis(&["flow", "run", "say", r#"{"text":"a"}"#]).code, 0);
    let host = house.run();
    until(|| runs(&host, "begin"), |runs| runs.len() == 3);
}

#[test]
fn a_time_that_comes_starts_one_run() {
    let house = House::new(ECHO);
    house.write(
        "flows/tick.toml",
        "[input]\nat = \"string\"\n[steps.said]\ncall = \"voice.echo\"\ninput = { value = \"${input.at}\" }\nundo = \"none\"\n[output]\nat = \"${input.at}\"\n\
         [[triggers]]\nkind = \"schedule\"\ncron = \"* * * * * *\"\ninput = { at = \"${tick.at}\" }\n",
    );
    let host = house.run();
    let seen = until(|| runs(&host, "tick"), |runs| runs.len() >= 3);
    let at = |run: &Value| {
        get(&host, &format!("/v1/runs/{}", run["run_id"].as_str().unwrap()))["output"]["at"].clone()
    };
    let mut times: Vec<_> = seen.iter().map(|run| at(run).as_str().unwrap_or_default().to_owned()).collect();
    times.sort();
    let count = times.len();
    times.dedup();
    assert_eq!(times.len(), count, "each time once: {times:?}");
    assert!(times.iter().all(|time| time.ends_with(".000Z")), "{times:?}");
    // A file that is gone starts nothing more.
    std::fs::remove_file(house.path("flows/tick.toml")).unwrap();
    until(|| get(&host, "/v1/flows")["flows"].as_array().unwrap().len(), |flows| *flows == 1);
    let left = runs(&host, "tick").len();
    std::thread::sleep(Duration::from_millis(2_200));
    assert!(runs(&host, "tick").len() <= left + 1);
}

#[test]
fn a_changed_file_is_taken_up_and_a_broken_one_changes_nothing() {
    let house = House::new(ECHO);
    let slow = |word: &str| {
        format!(
            "[steps.wait]\ncall = \"voice.sleep\"\ninput = {{ ms = 1800 }}\nundo = \"none\"\n\
             [steps.said]\ncall = \"voice.echo\"\nafter = [\"wait\"]\ninput = {{ value = \"{word}\" }}\nundo = \"none\"\n\
             [output]\nsaid = \"${{steps.said.output.value}}\"\n"
        )
    };
    house.write("flows/slow.toml", &slow("old"));
    let host = house.run();
    let later = [("prefer", "respond-async")];
    let (status, body) = host.request_with("POST", "/v1/flows/slow", &later, "{}").unwrap();
    assert_eq!(status, 202, "{body}");
    let under_way: Value = serde_json::from_str(&body).unwrap();

    house.write("flows/slow.toml", &slow("new").replace("1800", "1"));
    house.write("flows/more.toml", "[steps.said]\ncall = \"voice.echo\"\ninput = { value = \"more\" }\nundo = \"none\"\n[output]\nsays = \"more\"\n");
    until(|| get(&host, "/v1/flows")["flows"].as_array().unwrap().len(), |flows| *flows == 3);
    let (_, body) = host.request("POST", "/v1/flows/slow", "{}").unwrap();
    assert_eq!(body, r#"{"said":"new"}"#);
    let path = format!("/v1/runs/{}", under_way["run_id"].as_str().unwrap());
    let old = until(|| get(&host, &path), |run| run["state"] == "completed");
    assert_eq!(old["output"]["said"], "old", "a run keeps what it began with");

    house.write("flows/slow.toml", "[steps.said]\ncall = \"voice.ecko\"\nundo = \"none\"\n");
    house.write("flows/more.toml", "[output\n");
    let shown = until(
        || get(&host, "/v1/flows")["problems"].clone(),
        |problems| problems.as_array().unwrap().len() >= 2,
    );
    let shown = shown.to_string();
    assert!(shown.contains("slow.toml:2") && shown.contains("did you mean `echo`"), "{shown}");
    assert!(shown.contains("more.toml:1"), "{shown}");
    assert_eq!(host.request("POST", "/v1/flows/slow", "{}").unwrap().1, r#"{"said":"new"}"#);
    assert_eq!(host.request("POST", "/v1/flows/more", "{}").unwrap().1, r#"{"says":"more"}"#);

    house.write("flows/slow.toml", &slow("newest").replace("1800", "1"));
    std::fs::remove_file(house.path("flows/more.toml")).unwrap();
    until(|| get(&host, "/v1/flows")["problems"].clone(), |problems| problems == &json!([]));
    assert_eq!(host.request("POST", "/v1/flows/slow", "{}").unwrap().1, r#"{"said":"newest"}"#);
    assert_eq!(host.request("POST", "/v1/flows/more", "{}").unwrap().0, 404);
    // One that others run is not gone without a word.
    house.write(
        "flows/base.toml",
        "[steps.said]\ncall = \"voice.echo\"\ninput = { value = 1 }\nundo = \"none\"\n",
    );
    house.write("flows/over.toml", "[steps.part]\nflow = \"base\"\n[output]\nsays = \"over\"\n");
    until(|| get(&host, "/v1/flows")["flows"].as_array().unwrap().len(), |flows| *flows == 4);
    std::fs::remove_file(house.path("flows/base.toml")).unwrap();
    let shown =
        until(|| get(&host, "/v1/flows")["problems"].clone(), |problems| problems != &json!([])).to_string();
    assert!(shown.contains("over.toml") && shown.contains("base"), "{shown}");
    std::fs::remove_file(house.path("flows/over.toml")).unwrap();
    until(|| get(&host, "/v1/flows")["problems"].clone(), |problems| problems == &json!([]));
    // A folder that is gone takes nothing away.
    std::fs::rename(house.path("flows"), house.path("moved")).unwrap();
    until(|| get(&host, "/v1/flows")["problems"].clone(), |problems| problems.as_array().unwrap().len() == 1);
    assert_eq!(host.request("POST", "/v1/flows/slow", "{}").unwrap().1, r#"{"said":"newest"}"#);
    // A flow that is new reports its runs as the others do.
    let (_, metrics) = host.request("GET", "/metrics", "").unwrap();
    assert!(metrics.contains(r#"chassis_flow_runs_total{flow="more",outcome="completed"} 1"#), "{metrics}");
}

/// A house whose role `post` is played by this broker, with a flow that its messages start; none without the broker.
fn post(test: &str, plugin: &str, url: Option<&str>) -> Option<(House, String)> {
    let Some(folder) = std::env::var_os("CHASSIS_PLUGINS_DIR").map(PathBuf::from) else {
        println!("skipped: {test}: CHASSIS_PLUGINS_DIR is not set");
        return None;
    };
    let queue = format!("{test}_{}", std::process::id());
    let config = match url {
        None => "path = \"post.db\"".to_owned(),
        Some(variable) => {
            let Ok(url) = std::env::var(variable) else {
                println!("skipped: {test}: {variable} is not set");
                return None;
            };
            format!("url = \"{url}\"")
        }
    };
    let house = House::new(&format!(
        "{ECHO}post = \"post\"\n[instances.post]\nplugin = \"{plugin}\"\ncontract = \"queue\"\nconfig = {{ {config} }}\n"
    ));
    let file = format!("libchassis_{plugin}.so");
    std::os::unix::fs::symlink(folder.join(&file), house.path("plugins").join(&file)).unwrap();
    house.write(
        "flows/welcome.toml",
        &format!(
            "[input]\nname = \"string\"\n[steps.wait]\ncall = \"voice.sleep\"\ninput = {{ ms = 300 }}\nundo = \"none\"\n\
             [steps.said]\ncall = \"voice.echo\"\nafter = [\"wait\"]\ninput = {{ value = \"${{input.name}}\" }}\nundo = \"none\"\n\
             [output]\nname = \"${{input.name}}\"\n\
             [[triggers]]\nkind = \"queue\"\nrole = \"post\"\nqueue = \"{queue}\"\nprefetch = 4\n\
             dead_letter = \"{queue}_dead\"\nmax_deliveries = 3\n"
        ),
    );
    Some((house, queue))
}

fn call(host: &Running, operation: &str, input: &Value) -> Value {
    let (status, body) =
        host.request("POST", &format!("/v1/instances/post/{operation}"), &input.to_string()).unwrap();
    assert_eq!(status, 200, "{operation}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn messages_start_runs(test: &str, plugin: &str, url: Option<&str>) {
    let Some((house, queue)) = post(test, plugin, url) else { return };
    let host = house.run();
    // The consumer was there before its queue, and finds it.
    call(&host, "declare", &json!({ "queue": queue }));
    let publish = |id: &str, body: Value| {
        call(&host, "publish", &json!({ "queue": queue, "message_id": id, "body": body }));
    };
    for n in 0..10 {
        publish(&format!("m{n}"), json!({ "name": format!("n{n}") }));
        publish(&format!("m{n}"), json!({ "name": format!("n{n}") }));
    }
    let completed = |count| {
        move |runs: &Vec<Value>| runs.iter().filter(|run| run["state"] == "completed").count() == count
    };
    until(|| runs(&host, "welcome"), completed(10));
    until(|| call(&host, "depth", &json!({ "queue": queue }))["messages"].clone(), |waiting| *waiting == 0);
    assert_eq!(runs(&host, "welcome").len(), 10, "a message that comes twice starts one run");

    // The host asks by itself how many wait.
    let depth = format!("chassis_queue_messages{{name=\"post\",queue=\"{queue}\"}} 0\n");
    until(|| host.request("GET", "/metrics", "").unwrap().1, |metrics| metrics.contains(&depth));

    // No run can be made of it: it comes again, and is put away with the reason.
    publish("bad", json!({ "nom": "n" }));
    let grave = format!("{queue}_dead");
    let input = json!({ "queue": grave });
    let dead =
        |host: &Running| host.request("POST", "/v1/instances/post/receive", &input.to_string()).unwrap();
    let (_, body) = until(|| dead(&host), |(_, body)| body.contains("\"receipt\""));
    let dead: Value = serde_json::from_str(&body).unwrap();
    let message = &dead["message"];
    let headers = &message["headers"];
    assert_eq!((&message["body"], &message["message_id"]), (&json!({ "nom": "n" }), &json!("bad")));
    assert_eq!((&headers["x-chassis-flow"], &headers["x-chassis-queue"]), (&json!("welcome"), &json!(queue)));
    assert_eq!(headers["x-chassis-deliveries"], "3");
    let reason = headers["x-chassis-reason"].as_str().unwrap();
    assert!(reason.contains("invalid_argument") && reason.contains("name"), "{reason}");
    call(&host, "ack", &json!({ "receipt": message["receipt"] }));

    // The message's span is linked to its sender's, and the run is below it.
    let run = &runs(&host, "welcome")[0];
    let trace = get(&host, &format!("/v1/runs/{}", run["run_id"].as_str().unwrap()))["trace_id"].clone();
    let spans = until(
        || get(&host, &format!("/v1/traces/{}", trace.as_str().unwrap())).to_string(),
        |spans| spans.contains(&format!("process {queue}")),
    );
    assert!(spans.contains("flow welcome"), "{spans}");
    for queue in [&queue, &grave] {
        call(&host, "delete", &json!({ "queue": queue }));
    }
}

fn a_killed_host_loses_no_message(test: &str, plugin: &str, url: Option<&str>) {
    let Some((house, queue)) = post(test, plugin, url) else { return };
    let first = house.run();
    call(&first, "declare", &json!({ "queue": queue }));
    for n in 0..12 {
        let body = json!({ "name": format!("n{n}") });
        call(&first, "publish", &json!({ "queue": queue, "message_id": format!("m{n}"), "body": body }));
    }
    // Some runs have begun, and some messages still wait: at most four are in its hands.
    until(|| runs(&first, "welcome").len(), |begun| *begun > 0);
    first.signal("KILL");
    first.wait();
    let second = house.run();
    let completed = |runs: &Vec<Value>| runs.iter().filter(|run| run["state"] == "completed").count() >= 12;
    let seen = until(|| runs(&second, "welcome"), completed);
    assert_eq!(seen.len(), 12, "each message one run: {seen:?}");
    until(|| call(&second, "depth", &json!({ "queue": queue }))["messages"].clone(), |waiting| *waiting == 0);
    call(&second, "delete", &json!({ "queue": queue }));
}

const RABBITMQ: Option<&str> = Some("CHASSIS_RABBITMQ_URL");

#[test]
fn messages_start_runs_on_embedded() {
    messages_start_runs("messages_start_runs_on_embedded", "embedded", None);
}

#[test]
fn messages_start_runs_on_rabbitmq() {
    messages_start_runs("messages_start_runs_on_rabbitmq", "rabbitmq", RABBITMQ);
}

#[test]
fn a_killed_host_loses_no_message_on_embedded() {
    a_killed_host_loses_no_message("a_killed_host_loses_no_message_on_embedded", "embedded", None);
}

#[test]
fn a_killed_host_loses_no_message_on_rabbitmq() {
    a_killed_host_loses_no_message("a_killed_host_loses_no_message_on_rabbitmq", "rabbitmq", RABBITMQ);
}
