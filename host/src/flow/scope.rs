//! What the expressions of a run can see.

use cel::common::types::CelNull;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The values of a run, by the names that expressions use. Cheap to extend for one step, see [`Scope::of_step`].
#[derive(Clone, Debug, Default)]
pub struct Scope {
    values: HashMap<String, Arc<dyn Val>>,
}

impl Scope {
    /// What is known when a run begins.
    pub fn new(input: &Value, run: &Value, roles: &Value) -> Self {
        let mut scope = Self::default();
        scope.set("input", input);
        scope.set("run", run);
        scope.set("roles", roles);
        scope
    }

    /// Makes the input and the result of a step known; `None` when it was skipped.
    pub fn step_ended(&mut self, step: &str, ended: Option<(&Value, &Value)>) {
        let (input, output) = ended.unwrap_or((&Value::Null, &Value::Null));
        self.set(&format!("steps.{step}.input"), input);
        self.set(&format!("steps.{step}.output"), output);
        self.set(&format!("steps.{step}.skipped"), &Value::Bool(ended.is_none()));
        self.set(&format!("steps.{step}.failed"), &Value::Bool(false));
        self.set(&format!("steps.{step}.error"), &Value::Null);
    }

    /// The same for a step that failed, and whose `on_error` says that the run goes on. `error` has `code` and `message`.
    pub fn step_excused(&mut self, step: &str, input: &Value, output: &Value, error: &Value) {
        self.step_ended(step, Some((input, output)));
        self.set(&format!("steps.{step}.failed"), &Value::Bool(true));
        self.set(&format!("steps.{step}.error"), error);
    }

    /// The same, with `step.input` and `step.output` for the `check`, `output` and `undo` of one step.
    pub fn of_step(&self, input: &Value, output: &Value) -> Self {
        let mut scope = Self { values: self.values.clone() };
        scope.set("step.input", input);
        scope.set("step.output", output);
        scope
    }

    /// The same, with `item` and `index` for one item of a step's `for_each`.
    pub fn of_item(&self, item: &Value, index: usize) -> Self {
        let mut scope = Self { values: self.values.clone() };
        scope.set("item", item);
        scope.set("index", &Value::from(index));
        scope
    }

    /// One value by its name, for expressions that see no run: `input`, or what a trigger brings.
    pub fn with(mut self, name: &str, value: &Value) -> Self {
        self.set(name, value);
        self
    }

    fn set(&mut self, name: &str, value: &Value) {
        self.values.insert(name.to_owned(), visible(value));
    }
}

impl VariableResolver for Scope {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.values.get(variable).map(|value| CowVal::Borrowed(value.as_ref()))
    }
}

fn visible(value: &Value) -> Arc<dyn Val> {
    let value: Result<Box<dyn Val>, _> = cel_value(value).try_into();
    // Every JSON value has its CEL value; the conversion can refuse kinds only that JSON does not have.
    value.map_or_else(|_| Arc::new(CelNull) as Arc<dyn Val>, Arc::from)
}

fn cel_value(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(cel_value).collect())),
        Value::Object(fields) => {
            let fields: HashMap<String, cel::Value> =
                fields.iter().map(|(name, value)| (name.clone(), cel_value(value))).collect();
            cel::Value::Map(fields.into())
        }
    }
}
