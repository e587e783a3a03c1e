//! What a person sees when a configuration is wrong.

use super::*;
use std::collections::HashMap;

#[derive(Default)]
struct Fixed(HashMap<&'static str, &'static str>);

impl Outside for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| (*value).to_owned())
    }

    fn file(&self, _: &str) -> std::io::Result<String> {
        Ok("canary-from-file\n".into())
    }
}

fn config(text: &str) -> Result<Config, Problems> {
    with_variables(text, &[])
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let mut tree = Node::parse(text, "config/t.toml")?;
    merge::overrides(&mut tree, variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))?;
    let outside = Fixed(HashMap::from([("SET", "value")]));
    interpolate::interpolate(&mut tree, &outside)?;
    Config::validate("t".into(), tree, &outside)
}

fn message(text: &str) -> String {
    config(text).unwrap_err().to_string()
}

#[test]
fn the_shipped_profiles_are_valid() {
    let addresses = ["POSTGRES", "MONGODB", "REDIS", "RABBITMQ", "ELASTICSEARCH", "API"];
    let table = addresses.map(|name| (&*format!("CHASSIS_{name}_URL").leak(), "x://y"));
    let outside = Fixed(HashMap::from(table));
    for (name, text) in SHIPPED {
        let mut tree = Node::parse(text, name).unwrap();
        interpolate::interpolate(&mut tree, &outside).unwrap();
        let config = Config::validate((*name).into(), tree, &outside).unwrap();
        for role in ["users", "preferences", "sessions", "messages", "search", "api"] {
            assert!(config.role(role).is_some(), "{name}: {role}");
        }
    }
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_right_one() {
    assert_eq!(
        message("[health]\n\nintervall = \"5s\""),
        "config/t.toml:3: health.intervall: unknown key; did you mean `interval`?"
    );
    assert_eq!(
        message(
            "[instances.users]\nplugin = \"x\"\n[instances.users.policy.operations.get]\nattempt_timout = 1"
        ),
        "config/t.toml:4: instances.users.policy.operations.get.attempt_timout: unknown key; \
         did you mean `attempt_timeout`?"
    );
}

#[test]
fn a_wrong_type_is_told_without_repeating_a_text() {
    assert_eq!(
        message("[instances.users]\nplugin = \"x\"\npolicy = { bulkhead = \"canary\" }"),
        "config/t.toml:3: instances.users.policy.bulkhead: expected a number from 1, or \"off\", found another text"
    );
    assert!(message("[health]\ninterval = true").contains("expected a time such as"));
    assert!(message("instances = 3").starts_with("config/t.toml:1: instances: expected a map"));
}

#[test]
fn a_missing_key_is_named_at_its_table() {
    assert_eq!(
        message("\n[instances.users]\ncontract = \"cache\""),
        "config/t.toml:2: instances.users.plugin: missing"
    );
}

#[test]
fn a_role_without_its_instance_is_told() {
    let text = "[instances.postgres]\nplugin = \"postgres\"\n[roles]\nusers = \"postgre\"";
    assert_eq!(
        message(text),
        "config/t.toml:4: roles.users: the role is played by `postgre`, and there is no such instance; \
         did you mean `postgres`?"
    );
}

#[test]
fn text_that_is_not_toml_is_told_with_its_line() {
    assert!(
        message("[edge]\nlisten = ").starts_with("config/t.toml:2: not TOML: "),
        "{}",
        message("[edge]\nlisten = ")
    );
}

#[test]
fn every_missing_variable_is_named_with_its_field() {
    let text = "[instances.a]\nplugin = \"x\"\nconfig = { url = \"${env:FIRST}\", user = \"${env:SECOND}\" }";
    let message = message(text);
    assert!(message.contains("instances.a.config.url: environment variable FIRST is not set"), "{message}");
    assert!(message.contains("instances.a.config.user: environment variable SECOND is not set"), "{message}");
}

#[test]
fn a_variable_may_be_a_number_where_one_is_wanted_and_is_named_when_wrong() {
    let text = "[instances.a]\nplugin = \"x\"";
    let good = with_variables(text, &[("CHASSIS__INSTANCES__A__POLICY__BULKHEAD", "7")]).unwrap();
    assert_eq!(good.instances["a"].policy.bulkhead, Some(policy::Switch::On(policy::Count(7))));
    let bad = with_variables(text, &[("CHASSIS__INSTANCES__A__POLICY__BULKHEAD", "many")]).unwrap_err();
    let bad = bad.to_string();
    assert!(bad.starts_with("environment variable CHASSIS__INSTANCES__A__POLICY__BULKHEAD: "), "{bad}");
}

#[test]
fn an_unknown_profile_is_answered_with_the_known_ones() {
    let error = Config::load(&Source::Profile("embeded".into())).unwrap_err().to_string();
    assert!(error.contains("did you mean `embedded`?"), "{error}");
}

#[test]
fn addresses_and_names_that_cannot_work_are_refused() {
    for (text, field) in [
        ("[edge]\nlisten = \"nonsense\"\n", "edge.listen"),
        ("[edge]\nlisten = \"127.0.0.1:99999\"\n", "edge.listen"),
        ("[instances.\"a/b\"]\nplugin = \"echo\"\n", "instances.a/b"),
        ("[instances.\"\"]\nplugin = \"echo\"\n", "instances."),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.toml");
        std::fs::write(&file, text).unwrap();
        let problems = Config::load(&Source::File(file)).unwrap_err().to_string();
        assert!(problems.contains(field) && problems.contains("test.toml:"), "{problems}");
    }
}
