//! Flows to begin with: each shows one thing, says in comments how, and comes with cases that pass.

/// A flow to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Starter {
    /// Effects in two stores, each with its undo
    Effect,
    /// Reads, says what is not found, and does without what it can do without
    Read,
    /// A step for each item of a list, of which some may fail
    List,
    /// Takes a message from a queue and settles it when its work is done
    Message,
}

/// The longest name.
const LONGEST: usize = 64;

impl Starter {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Effect, Self::Read, Self::List, Self::Message];

    /// The text of a flow of this name, and that of its cases.
    pub fn texts(self, name: &str) -> [String; 2] {
        let texts = match self {
            Self::Effect => [include_str!("effect.toml"), include_str!("effect.test.toml")],
            Self::Read => [include_str!("read.toml"), include_str!("read.test.toml")],
            Self::List => [include_str!("list.toml"), include_str!("list.test.toml")],
            Self::Message => [include_str!("message.toml"), include_str!("message.test.toml")],
        };
        texts.map(|text| text.replace("NAME", name))
    }
}

/// Whether a flow may have this name: it stands in paths, commands and metrics as it is.
///
/// # Errors
/// Why not, and what to write.
pub fn check_name(name: &str) -> Result<(), String> {
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_');
    let why = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.ends_with(".toml") {
        "it is the name of the flow, without `.toml`".to_owned()
    } else if name.contains(std::path::is_separator) {
        "it is a name and no path: the file goes to the profile's folder of flows".to_owned()
    } else if let Some(wrong) = name.chars().find(|char| !plain(*char)) {
        format!("it has `{wrong}`")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        "it does not begin with a letter".to_owned()
    } else if name.len() > LONGEST {
        format!("it is longer than {LONGEST}")
    } else {
        return Ok(());
    };
    Err(format!(
        "`{name}` is no name for a flow: {why}; write small letters, digits, `-` and `_`, as in `refund-order`"
    ))
}
