//! `chassis flow new`

use super::flow_files::file_of;
use super::{Exit, Global};
use crate::cases;
use crate::flow::starters::{Starter, check_name};
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Write a flow to edit, with cases beside it
///
/// Both are full of comments, and right as they are: the check finds nothing, and the cases pass on the profile `embedded`. Nothing
/// that is there is written over.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chassis flow new refund-order                   writes refund-order.toml and refund-order.test.toml
  chassis flow new take-order --template message
then:
  chassis flow graph refund-order
  chassis flow check flows/refund-order.toml
  chassis flow test refund-order")]
pub(super) struct New {
    /// Its name: small letters, digits, `-` and `_`
    name: String,
    /// What to begin with
    #[arg(long, value_enum, default_value_t = Starter::Effect)]
    template: Starter,
}

impl New {
    pub(super) fn run(&self, global: &Global) -> Result<ExitCode, Exit> {
        check_name(&self.name).map_err(Exit::usage)?;
        let folder = global.load()?.flows_dir;
        let flow = file_of(&folder, &self.name);
        let cases = cases::beside(&flow);
        if let Some(there) = [&flow, &cases].into_iter().find(|file| file.exists()) {
            let there = there.display();
            return Err(Exit::failed(format!(
                "{there} is there already, and stays as it is: take another name"
            )));
        }
        let made = std::fs::create_dir_all(&folder);
        made.map_err(|error| Exit::failed(format!("no folder {} can be made: {error}", folder.display())))?;
        let [text, text_of_cases] = self.template.texts(&self.name);
        write(&flow, &text)?;
        if let Err(exit) = write(&cases, &text_of_cases) {
            // One without the other would be in the way of the next try.
            let _ = std::fs::remove_file(&flow);
            return Err(exit);
        }
        if global.json {
            println!("{}", json!({ "name": self.name, "flow": flow, "cases": cases }));
        } else {
            let (name, flow, cases) = (&self.name, flow.display(), cases.display());
            println!("{flow} is the flow, {cases} its cases; edit both");
            println!("next: chassis flow graph {name}; chassis flow check {flow}; chassis flow test {name}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes a file that is not there.
fn write(path: &Path, text: &str) -> Result<(), Exit> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Exit::failed(format!("{} cannot be written: {error}", path.display())))
}
