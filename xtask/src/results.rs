//! Reading the output of `cargo test -- --show-output`: what passed, what failed, what was skipped and why.

use std::collections::{BTreeMap, HashMap};

/// What a test run came to.
#[derive(Debug, Default)]
pub struct Results {
    /// Tests that passed. A suite that tells its cases counts as these.
    pub passed: usize,
    pub failed: Vec<String>,
    pub skipped: Vec<Skip>,
    /// Which package a test executable belongs to, by the executable's file name.
    packages: HashMap<String, String>,
    binary: Option<String>,
    section: Section,
    /// The test whose captured output is being read.
    within: Option<String>,
    /// What the tests of this executable told of their own cases.
    suites: BTreeMap<String, Suite>,
}

/// The cases of one test, told as `ok: …`, `FAILED: …` and `skipped: …`.
#[derive(Debug, Default)]
struct Suite {
    passed: usize,
    failed: Vec<String>,
}

/// One `skipped: NAME: why`.
#[derive(Clone, Debug, PartialEq)]
pub struct Skip {
    pub name: String,
    pub why: String,
}

#[derive(Debug, Default, PartialEq)]
enum Section {
    #[default]
    Progress,
    /// The output of tests that passed: nobody wants to read it, but skips are said there.
    Successes,
    Failures,
}

impl Results {
    pub fn new(packages: HashMap<String, String>) -> Results {
        Results { packages, ..Results::default() }
    }

    /// Takes one line; true if a person should see it.
    pub fn line(&mut self, line: &str) -> bool {
        let text = line.trim();
        if let Some(binary) = running(text) {
            self.end_of_binary();
            self.binary = Some(self.label(&binary));
            return true;
        }
        if let Some(skip) = text.strip_prefix("skipped: ") {
            let (name, why) = skip.split_once(": ").unwrap_or((skip, "no reason is given"));
            self.skipped.push(Skip { name: name.to_owned(), why: why.to_owned() });
            if self.within.is_some() {
                self.suite();
            }
            return true;
        }
        if let Some(case) = text.strip_prefix("FAILED: ").filter(|_| self.within.is_some()) {
            self.suite().failed.push(case.to_owned());
        } else if text.starts_with("ok: ") && self.within.is_some() {
            self.suite().passed += 1;
        }
        if let Some(name) = text.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            self.within = Some(name.to_owned());
            return self.section != Section::Successes;
        }
        match text {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Failures,
            _ if text.starts_with("test result: ") => {
                self.summary(text);
                return true;
            }
            _ if self.section == Section::Progress => self.verdict(text),
            _ => {}
        }
        self.section != Section::Successes
    }

    /// After the last line: an executable that died has said nothing about its tests.
    pub fn finish(&mut self) {
        self.end_of_binary();
    }

    fn end_of_binary(&mut self) {
        if let Some(binary) = self.binary.take() {
            self.failed.push(format!("{binary}: ended without a result; it crashed or was killed"));
            self.section = Section::Progress;
            self.within = None;
            self.suites.clear();
        }
    }

    /// `test NAME ... FAILED` and `test NAME ... ignored, why`.
    fn verdict(&mut self, text: &str) {
        let Some((name, verdict)) = text.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        else {
            return;
        };
        let name = format!("{}: {name}", self.binary.as_deref().unwrap_or("?"));
        if verdict.starts_with("FAILED") {
            self.failed.push(name);
        } else if let Some(why) = verdict.strip_prefix("ignored") {
            let why = why.trim_start_matches(", ");
            let why = if why.is_empty() { "ignored, without a reason" } else { why };
            self.skipped.push(Skip { name, why: why.to_owned() });
        }
    }

    /// `test result: ok. 12 passed; 0 failed; …` ends an executable.
    fn summary(&mut self, text: &str) {
        let count = |word: &str| -> usize {
            let before = text.split(word).next().unwrap_or_default();
            before.split_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        self.passed += count(" passed");
        let binary = self.binary.take().unwrap_or_default();
        for (test, suite) in std::mem::take(&mut self.suites) {
            self.passed += suite.passed;
            let own = format!("{binary}: {test}");
            match self.failed.iter().position(|failed| *failed == own) {
                None => self.passed = self.passed.saturating_sub(1),
                // Its cases say more than it does.
                Some(place) if !suite.failed.is_empty() => drop(self.failed.remove(place)),
                Some(_) => {}
            }
            self.failed.extend(suite.failed.iter().map(|case| format!("{own}: {case}")));
        }
        self.section = Section::Progress;
        self.within = None;
    }

    fn suite(&mut self) -> &mut Suite {
        self.suites.entry(self.within.clone().unwrap_or_default()).or_default()
    }

    fn label(&self, executable: &str) -> String {
        let file = executable.rsplit('/').next().unwrap_or(executable);
        match self.packages.get(file) {
            Some(package) => package.clone(),
            None => file.rsplit_once('-').map_or(file, |(name, _)| name).to_owned(),
        }
    }
}

/// `Running tests/conformance.rs (target/debug/deps/conformance-0f3a)` or `Doc-tests chassis_abi`.
fn running(text: &str) -> Option<String> {
    if let Some(name) = text.strip_prefix("Doc-tests ") {
        return Some(format!("{name} (documentation)"));
    }
    let (_, file) = text.strip_prefix("Running ")?.rsplit_once(" (")?;
    Some(file.strip_suffix(')')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "     Running tests/conformance.rs (target/debug/deps/conformance-0f3a)

running 4 tests
test manifest ... ok
test cache::ttl ... ok
test cache::missing ... ok
test slow ... ignored, takes an hour

successes:

---- cache::ttl stdout ----
chatter
ok: cache: gets what was set (3 ms)
ok: cache: forgets in time (90 ms)
skipped: redis cache panic: the plugin offers none

successes:
    cache::ttl
    manifest

test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s

     Running unittests src/lib.rs (target/debug/deps/chassis_abi-77aa)

running 3 tests
test layout ... FAILED
test run ... FAILED
test code ... ok

failures:

---- layout stdout ----
assertion failed

---- run stdout ----
ok: queue: keeps the order (3 ms)
FAILED: queue: confirms: no confirm

failures:
    layout

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/crash.rs (target/debug/deps/crash-1b)

running 1 test
";

    #[test]
    fn counts_names_and_reasons_are_read() {
        let packages = HashMap::from([("conformance-0f3a".to_owned(), "chassis-plugin-redis".to_owned())]);
        let mut results = Results::new(packages);
        let shown: Vec<&str> = OUTPUT.lines().filter(|line| results.line(line)).collect();
        results.finish();
        assert_eq!(
            results.passed, 6,
            "manifest, cache::missing, code, and three cases; not the suites themselves"
        );
        assert_eq!(results.failed[0], "chassis_abi: layout");
        assert_eq!(results.failed[1], "chassis_abi: run: queue: confirms: no confirm");
        assert!(results.failed[2].starts_with("crash: ended without a result"), "{:?}", results.failed);
        assert_eq!(results.failed.len(), 3);
        let ignored = Skip { name: "chassis-plugin-redis: slow".into(), why: "takes an hour".into() };
        let skipped = Skip { name: "redis cache panic".into(), why: "the plugin offers none".into() };
        assert_eq!(results.skipped, [ignored, skipped]);
        assert!(shown.contains(&"assertion failed") && !shown.contains(&"chatter"));
    }
}
