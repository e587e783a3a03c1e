//! Our own rules: what an operator needs beyond what the linter asks for.

mod links;
mod page;
mod panels;

use super::Rule;

const HERE: &str = "the house";

pub(super) const RULES: &[&[Rule]] = &[page::RULES, panels::RULES, links::RULES];
