//! `chassis flow test`

use super::flow_files::{file_of, is_file};
use super::{Exit, Global, exit};
use crate::app::StartError;
use crate::cases::{self, CaseFile, Hosts, Played, PlayedFile};
use crate::config::Source;
use crate::flow::FlowSet;
use crate::flow::document::FlowErrors;
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Run the cases that are written beside flows: given this input and this fault, does it end so, and what is left?
///
/// The cases of `flows/refund.toml` are in `flows/refund.test.toml`. Each runs in this process on a host of its own with the profile
/// `embedded`, whatever --profile says: its stores are empty files in a folder that is gone afterwards, so that no case sees another,
/// and no server is needed. With --config it is that configuration; its data must be below ${env:CHASSIS_DATA}.
#[derive(Debug, Args)]
#[command(after_help = "\
A case:
  [[case]]
  name = \"an e-mail is taken once only\"
  before = [{ flow = \"create-user\", input = { email = \"ada@example.org\" } }]   # done first
  input = { email = \"ada@example.org\" }
  expect = { state = \"undone\", error = { code = \"already_exists\", step = \"user\" } }

  [[case.fault]]                        # what goes wrong meanwhile, in the words of [[faults]]
  kind = \"timeout_after\"
  instance = \"search\"
  operation = \"index\"

  [[case.state]]                        # a call afterwards, and what it must answer
  call = \"users.query\"
  input = { sql = \"SELECT count(*) AS n FROM users\" }
  answer = { rows = [{ n = 1 }] }

flows/README.md has every word. The flow `setup` runs before each case, if there is one.
The exit code is 1 if a case fails, 3 if a flow or a case is wrong in itself: then nothing runs.

Examples:
  chassis flow test                               all case files of the profile
  chassis flow test create-user --case e-mail     those with this text in their name
  chassis flow test draft/refund.toml --json      those of any file")]
pub(super) struct Tested {
    /// Flows by name, their files, or case files; without any, all case files of the profile
    #[arg(value_name = "NAME|FILE")]
    what: Vec<String>,
    /// Only cases with this text in their name; may be given several times
    #[arg(long = "case", value_name = "TEXT")]
    cases: Vec<String>,
}

/// Cases at the same time. Most of their time they wait: for a limit, or for the disk.
const AT_ONCE: usize = 4;

impl Tested {
    pub(super) async fn run(&self, global: &Global) -> Result<ExitCode, Exit> {
        let source = match &global.config {
            Some(file) => Source::File(file.clone()),
            None => Source::Profile(cases::PROFILE.to_owned()),
        };
        let hosts = Hosts::prepare(source).await?;
        let played = tokio::select! {
            played = self.play(global, &hosts) => played,
            _ = tokio::signal::ctrl_c() => Err(Exit::interrupted()),
        };
        hosts.close().await;
        played
    }

    async fn play(&self, global: &Global, hosts: &Hosts) -> Result<ExitCode, Exit> {
        let begun = Instant::now();
        let mut files = self.files(hosts)?;
        if !self.cases.is_empty() {
            self.choose(&mut files)?;
        }
        let each =
            files.iter().flat_map(|(flows, file)| file.cases.iter().map(move |case| (flows, file, case)));
        let plays = each
            .map(|(flows, file, case)| async move { (file, cases::play(hosts, flows, file, case).await) });
        let mut plays = stream::iter(plays).buffered(AT_ONCE);
        let mut done: Vec<PlayedFile> = Vec::new();
        while let Some((file, played)) = plays.next().await {
            let played = played?;
            let begins = done.last().is_none_or(|last| last.file != file.file);
            if begins {
                done.push(PlayedFile {
                    file: file.file.clone(),
                    flow: file.flow.name.clone(),
                    cases: Vec::new(),
                });
            }
            if !global.json {
                show(begins.then_some(&file.file), &played);
            }
            if let Some(last) = done.last_mut() {
                last.cases.push(played);
            }
        }
        Ok(report(global, &done, begun.elapsed()))
    }

    /// The case files that are meant, each with the flows around its own.
    fn files(&self, hosts: &Hosts) -> Result<Vec<(FlowSet, CaseFile)>, Exit> {
        let folder = hosts.flows_dir();
        // What is wrong with others is told when they are asked for.
        let (flows, _) = FlowSet::load_what_can_be(folder);
        let world = hosts.world();
        let (mut files, mut wrong) = (Vec::new(), Vec::new());
        for path in self.paths(folder, &flows)? {
            match read(&path, &flows) {
                Ok((flows, file)) => {
                    wrong.extend(
                        cases::check(&file, &world, &flows).err().into_iter().flat_map(|errors| errors.0),
                    );
                    files.push((flows, file));
                }
                Err(errors) => wrong.extend(errors.0),
            }
        }
        if wrong.is_empty() { Ok(files) } else { Err(StartError::from(FlowErrors(wrong)).into()) }
    }

    fn paths(&self, folder: &Path, flows: &FlowSet) -> Result<Vec<PathBuf>, Exit> {
        if self.what.is_empty() {
            let found = cases::files(folder);
            let found = found
                .map_err(|error| Exit::failed(format!("{} cannot be read: {error}", folder.display())))?;
            let none = || {
                let folder = folder.display();
                Exit::failed(format!(
                    "there are no cases: {folder} has no file *{}; see --help",
                    cases::ENDING
                ))
            };
            return if found.is_empty() { Err(none()) } else { Ok(found) };
        }
        let path = |what: &String| {
            let file = if is_file(what) { PathBuf::from(what) } else { file_of(folder, what) };
            if cases::flow_of(&file).is_some() {
                return Ok(file);
            }
            if !is_file(what) && !file.is_file() {
                flows.get(what)?;
            }
            let beside = cases::beside(&file);
            if beside.is_file() || !file.is_file() {
                return Ok(beside);
            }
            Err(Exit::failed(format!(
                "{} has no cases: write them to {}; see --help",
                file.display(),
                beside.display()
            )))
        };
        self.what.iter().map(path).collect()
    }

    fn choose(&self, files: &mut [(FlowSet, CaseFile)]) -> Result<(), Exit> {
        let names: Vec<String> =
            files.iter().flat_map(|(_, file)| file.cases.iter().map(|case| case.name.clone())).collect();
        if let Some(text) = self.cases.iter().find(|text| !names.iter().any(|name| name.contains(*text))) {
            let names: String = names.iter().map(|name| format!("\n  {name}")).collect();
            return Err(Exit::usage(format!("no case has `{text}` in its name; there are:{names}")));
        }
        for (_, file) in files {
            file.cases.retain(|case| self.cases.iter().any(|text| case.name.contains(text)));
        }
        Ok(())
    }
}

/// A case file, and the flows among which its flow runs: those of the profile, and that one in place of any of its name.
fn read(path: &Path, flows: &FlowSet) -> Result<(FlowSet, CaseFile), FlowErrors> {
    let name = cases::flow_of(path).unwrap_or_default();
    let mut flows = flows.clone();
    flows.insert(FlowSet::read(&path.with_file_name(format!("{name}.toml")))?);
    let flow = flows.find(name).cloned();
    let flow = flow.ok_or_else(FlowErrors::default)?;
    let file = CaseFile::read(Arc::clone(&flow), path)?;
    Ok((flows, file))
}

fn show(file: Option<&String>, played: &Played) {
    if let Some(file) = file {
        println!("{file}");
    }
    let mark = if played.passed { '✓' } else { '✗' };
    println!("  {mark} {:>6.0} ms  {}", played.ms.as_secs_f64() * 1e3, played.name);
    played.misses.iter().for_each(|miss| println!("              {miss}"));
}

fn report(global: &Global, files: &[PlayedFile], took: Duration) -> ExitCode {
    let all = files.iter().flat_map(|file| &file.cases);
    let (passed, all) = (all.clone().filter(|case| case.passed).count(), all.count());
    let failed = all - passed;
    if global.json {
        let ms = took.as_millis() as u64;
        println!(
            "{}",
            json!({ "ok": failed == 0, "passed": passed, "failed": failed, "ms": ms, "files": files })
        );
    } else {
        let cases = if all == 1 { "case" } else { "cases" };
        println!("{all} {cases}, {passed} passed, {failed} failed in {:.1} s", took.as_secs_f64());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) }
}
