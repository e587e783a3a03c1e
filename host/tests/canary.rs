//! A secret of the configuration appears nowhere: in no log, error, answer or `--json`.

mod process_support;

use process_support::House;

const CANARY: &str = "c4n4ry+se/cret";
const ENCODED: &str = "c4n4ry%2Bse%2Fcret";

/// The same secret, come in by each way there is.
fn configs() -> Vec<String> {
    let instance =
        |config: &str| format!("[instances.echo]\nplugin = \"echo\"\n{config}\n[roles]\nvoice = \"echo\"\n");
    vec![
        instance(&format!("config = {{ token = \"{CANARY}\" }}")),
        instance("config = { token = \"${file:secret.txt}\" }"),
        instance("config = { token = \"${env:CANARY}\" }"),
        instance(&format!("config = {{ prefix = \"amqp://user:{ENCODED}@host/\" }}")),
        // Wrong ones: the error may name the field, not its value.
        instance(&format!("config = {{ tokn = \"{CANARY}\" }}")),
        instance(&format!("config = {{ down = \"{CANARY}\" }}")),
        instance("config = { down = \"${file:secret.txt}\" }"),
        instance(&format!("policy = {{ bulkhead = \"{CANARY}\" }}")),
    ]
}

fn clean(what: &str, text: &str) {
    for form in [CANARY, ENCODED] {
        assert!(!text.contains(form), "{what} shows the secret:\n{text}");
    }
}

#[test]
fn no_command_shows_a_secret() {
    for config in configs() {
        let house = House::new(&config);
        house.write("secret.txt", &format!("{CANARY}\n"));
        let commands: &[&[&str]] = &[
            &["config", "show"],
            &["config", "check"],
            &["health"],
            &["instances"],
            &["plugins"],
            &["call", "echo", "panic"],
            &["call", "echo", "context"],
            &["flow", "run", "say", "{}"],
        ];
        for args in commands {
            for json in [false, true] {
                let mut command = house.command();
                command.args(*args).env("CANARY", CANARY).env("CHASSIS_LOG", "trace");
                if json {
                    command.arg("--json");
                }
                let output = command.output().unwrap();
                let what = format!("{args:?} with {config}");
                clean(&what, &String::from_utf8_lossy(&output.stdout));
                clean(&what, &String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}

#[test]
fn a_shown_configuration_has_the_mask_in_the_secrets_place() {
    let house = House::new(&configs()[0]);
    let shown = house.chassis(&["config", "show", "--json"]).json();
    assert_eq!(shown["instances"]["echo"]["config"]["token"], "***");
    let url = House::new(&configs()[3]).chassis(&["config", "show", "--json"]).json();
    assert_eq!(url["instances"]["echo"]["config"]["prefix"], "amqp://user:***@host/");
    // Also where the plugin is not there to say what is secret.
    std::fs::remove_dir_all(house.path("plugins")).unwrap();
    let shown = house.chassis(&["config", "show", "--json"]).json();
    assert_eq!(shown["instances"]["echo"]["config"]["token"], "***");
}

#[test]
fn a_running_host_shows_no_secret() {
    let house = House::new(&configs()[0]);
    let running = house.run();
    let paths =
        ["/health", "/v1/instances", "/v1/plugins", "/metrics", "/openapi.json", "/docs", "/v1/traces"];
    for path in paths {
        let (status, body) = running.request("GET", path, "").unwrap();
        assert_eq!(status, 200, "{path}");
        clean(path, &body);
    }
    for (operation, input) in [("panic", "{}"), ("echo", "[]"), ("none", "{}")] {
        let (_, body) = running.request("POST", &format!("/v1/instances/echo/{operation}"), input).unwrap();
        clean(operation, &body);
    }
    running.terminate();
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(0));
    clean("the log", &log);
}
