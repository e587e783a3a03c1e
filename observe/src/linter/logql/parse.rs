//! The grammar of Loki's queries.

use super::tokens::{Token, is_span};

const UNWRAPPED: &[&str] = &[
    "sum_over_time",
    "avg_over_time",
    "max_over_time",
    "min_over_time",
    "stdvar_over_time",
    "stddev_over_time",
    "quantile_over_time",
    "first_over_time",
    "last_over_time",
    "rate_counter",
];
const COUNTING: &[&str] = &["rate", "count_over_time", "bytes_rate", "bytes_over_time", "absent_over_time"];
const AGGREGATES: &[&str] = &[
    "sum",
    "avg",
    "count",
    "max",
    "min",
    "stddev",
    "stdvar",
    "bottomk",
    "topk",
    "approx_topk",
    "sort",
    "sort_desc",
];
const FILTERS: &[&str] = &["|=", "!=", "|~", "!~", "|>", "!>"];
const COMPARISONS: &[&str] = &["==", "=", "!=", ">=", "<=", ">", "<", "=~", "!~"];
const OPERATORS: &[&str] = &["+", "-", "*", "/", "%", "^", "==", "!=", ">=", "<=", ">", "<"];

type Parsed<T = ()> = Result<T, String>;

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
    ranges: Vec<String>,
}

impl Parser {
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, at: 0, ranges: Vec::new() }
    }

    /// The whole query; lines of a log, or numbers made of them.
    pub fn query(mut self) -> Parsed<Vec<String>> {
        if self.sees("{") {
            self.lines()?;
        } else {
            self.numbers()?;
        }
        match self.tokens.get(self.at) {
            None => Ok(self.ranges),
            Some(token) => Err(format!("{token:?} is too much")),
        }
    }

    /// Operands and what stands between them. What binds closer does not matter to what is valid.
    fn numbers(&mut self) -> Parsed {
        self.operand()?;
        while self.symbol(OPERATORS) || self.word(&["and", "or", "unless"]) {
            self.word(&["bool"]);
            if self.word(&["on", "ignoring"]) {
                self.names()?;
                if self.word(&["group_left", "group_right"]) && self.sees("(") {
                    self.names()?;
                }
            }
            self.operand()?;
        }
        Ok(())
    }

    fn operand(&mut self) -> Parsed {
        if self.symbol(&["-", "+"]) || self.number() {
            return if self.before(|token| matches!(token, Token::Number(_))) {
                Ok(())
            } else {
                self.operand()
            };
        }
        if self.symbol(&["("]) {
            self.numbers()?;
            return self.expect(")");
        }
        let Some(Token::Word(name)) = self.next() else {
            return Err("a number, or a function of a log, is missing".into());
        };
        match &*name {
            "vector" => {
                self.arguments(|parser| parser.number().then_some(()).ok_or("vector takes a number".into()))
            }
            "label_replace" => self.arguments(|parser| {
                parser.numbers()?;
                (0..4).try_for_each(|_| parser.expect(",").and_then(|()| parser.text()))
            }),
            name if AGGREGATES.contains(&name) => self.aggregate(),
            name if UNWRAPPED.contains(&name) || COUNTING.contains(&name) => self.over_time(name),
            other => Err(format!("there is no function `{other}`")),
        }
    }

    fn arguments(&mut self, inside: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.expect("(")?;
        inside(self)?;
        self.expect(")")
    }

    fn aggregate(&mut self) -> Parsed {
        let before = self.grouping()?;
        self.arguments(|parser| {
            if matches!(parser.tokens.get(parser.at + 1), Some(Token::Symbol(","))) && parser.number() {
                parser.expect(",")?;
            }
            parser.numbers()
        })?;
        if before { Ok(()) } else { self.grouping().map(drop) }
    }

    fn grouping(&mut self) -> Parsed<bool> {
        let grouped = self.word(&["by", "without"]);
        if grouped {
            self.names()?;
        }
        Ok(grouped)
    }

    fn names(&mut self) -> Parsed {
        self.expect("(")?;
        while !self.symbol(&[")"]) {
            self.name()?;
            if !self.symbol(&[","]) {
                return self.expect(")");
            }
        }
        Ok(())
    }

    /// `FUNCTION({…} [5m])`. Those of a label's value need to be told which.
    fn over_time(&mut self, function: &str) -> Parsed {
        self.arguments(|parser| {
            if function == "quantile_over_time" {
                parser.number().then_some(()).ok_or("quantile_over_time takes a number first")?;
                parser.expect(",")?;
            }
            let (many, mut unwraps) = (parser.ranges.len(), parser.lines()?);
            if parser.symbol(&["["]) {
                parser.range()?;
                unwraps |= parser.pipeline()?;
            }
            if parser.ranges.len() != many + 1 {
                return Err(format!("`{function}` needs a range, such as [$__auto]"));
            }
            if UNWRAPPED.contains(&function) && !unwraps {
                return Err(format!("`{function}` needs a label's value: | unwrap LABEL"));
            }
            Ok(())
        })?;
        self.grouping().map(drop)
    }

    fn range(&mut self) -> Parsed {
        match self.next() {
            Some(Token::Number(range)) if is_span(&range) => self.ranges.push(range),
            _ => return Err("a range is a time, such as [5m]".into()),
        }
        self.expect("]")?;
        if self.word(&["offset"]) {
            self.symbol(&["-"]);
            return self.number().then_some(()).ok_or("an offset is a time".into());
        }
        Ok(())
    }

    /// `{…}` and what is done with its lines; whether a label's value is taken out.
    fn lines(&mut self) -> Parsed<bool> {
        self.expect("{")?;
        let mut selects = false;
        while !self.symbol(&["}"]) {
            self.name()?;
            let positive = self.sees("=") || self.sees("=~");
            self.symbol(&["=", "!=", "=~", "!~"])
                .then_some(())
                .ok_or("a label is compared by =, !=, =~ or !~")?;
            self.text()?;
            let all = |token: &Token| matches!(token, Token::Text(text) if ["", ".*"].contains(&&**text));
            selects |= positive && !self.before(all);
            if !self.symbol(&[","]) {
                self.expect("}")?;
                break;
            }
        }
        if !selects {
            return Err("a log is chosen by one label at least that is not empty".into());
        }
        self.pipeline()
    }

    fn pipeline(&mut self) -> Parsed<bool> {
        let mut unwraps = false;
        loop {
            if self.symbol(FILTERS) {
                self.pattern()?;
                while self.word(&["or"]) {
                    self.pattern()?;
                }
            } else if self.symbol(&["|"]) {
                unwraps |= self.stage()?;
            } else {
                return Ok(unwraps);
            }
        }
    }

    /// What a line is compared with.
    fn pattern(&mut self) -> Parsed {
        if self.word(&["ip"]) { self.arguments(Self::text) } else { self.text() }
    }

    fn stage(&mut self) -> Parsed<bool> {
        if self.word(&["unpack", "decolorize"]) {
        } else if self.word(&["regexp", "pattern", "line_format"]) {
            self.text()?;
        } else if self.word(&["json", "logfmt"]) {
            while self.symbol(&["--"]) {
                self.name()?;
                // `--keep-empty` is a word, a minus and a word.
                while self.symbol(&["-"]) {
                    self.name()?;
                }
            }
            if self.before_is_name() {
                self.assignments()?;
            }
        } else if self.word(&["label_format", "drop", "keep"]) {
            self.assignments()?;
        } else if self.word(&["unwrap"]) {
            if self.word(&["duration", "duration_seconds", "bytes"]) && self.sees("(") {
                self.arguments(Self::name)?;
            } else if !self.before(|token| matches!(token, Token::Word(word) if word != "unwrap")) {
                self.name()?;
            }
            return Ok(true);
        } else {
            self.condition()?;
        }
        Ok(false)
    }

    fn before_is_name(&self) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(_)))
    }

    /// `a, b="c", d=e`
    fn assignments(&mut self) -> Parsed {
        loop {
            self.name()?;
            if self.symbol(&["=", "!=", "=~", "!~"])
                && !matches!(self.next(), Some(Token::Text(_) | Token::Word(_)))
            {
                return Err("a label is made of another, or of a text".into());
            }
            if !self.symbol(&[","]) {
                return Ok(());
            }
        }
    }

    fn condition(&mut self) -> Parsed {
        loop {
            if self.symbol(&["("]) {
                self.condition()?;
                self.expect(")")?;
            } else {
                self.name()?;
                self.symbol(COMPARISONS).then_some(()).ok_or("a label is compared with something")?;
                if self.word(&["ip"]) {
                    self.arguments(Self::text)?;
                } else if !self.number() {
                    self.text()?;
                }
            }
            if !(self.word(&["and", "or"]) || self.symbol(&[","])) {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Whether the token that was taken last is so.
    fn before(&self, is: impl Fn(&Token) -> bool) -> bool {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).is_some_and(is)
    }

    fn sees(&self, symbol: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Symbol(found)) if *found == symbol)
    }

    fn take(&mut self, is: impl Fn(&Token) -> bool) -> bool {
        let taken = self.tokens.get(self.at).is_some_and(is);
        self.at += usize::from(taken);
        taken
    }

    fn symbol(&mut self, any: &[&str]) -> bool {
        self.take(|token| matches!(token, Token::Symbol(found) if any.contains(found)))
    }

    fn word(&mut self, any: &[&str]) -> bool {
        self.take(|token| matches!(token, Token::Word(found) if any.contains(&&**found)))
    }

    fn number(&mut self) -> bool {
        self.take(|token| matches!(token, Token::Number(_)))
    }

    fn name(&mut self) -> Parsed {
        self.take(|token| matches!(token, Token::Word(_)))
            .then_some(())
            .ok_or("a label's name is missing".into())
    }

    fn text(&mut self) -> Parsed {
        self.take(|token| matches!(token, Token::Text(_)))
            .then_some(())
            .ok_or("a quoted text is missing".into())
    }

    fn expect(&mut self, symbol: &str) -> Parsed {
        self.symbol(&[symbol]).then_some(()).ok_or(format!("`{symbol}` is missing"))
    }
}
