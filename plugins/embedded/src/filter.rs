//! MongoDB's filters as SQL over JSON text.

use crate::db::Query;
use crate::rows;
use chassis_guest::Error;
use chassis_guest::contracts::Object;
use chassis_guest::serde_json::Value;

/// A condition with the values of its placeholders, in order.
pub(crate) struct Condition {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

impl Condition {
    /// A filter's condition on a column that holds the document.
    pub(crate) fn of(filter: &Object, column: &str) -> Result<Self, Error> {
        let mut condition = Self { sql: String::new(), values: Vec::new() };
        condition.all(filter, column)?;
        Ok(condition)
    }

    /// Binds the values.
    pub(crate) fn bind<'q>(&self, query: Query<'q>) -> Query<'q> {
        rows::bind_all(query, &self.values)
    }

    fn all(&mut self, filter: &Object, column: &str) -> Result<(), Error> {
        self.sql.push_str("(1");
        for (name, wanted) in filter {
            self.sql.push_str(" AND ");
            match (name.as_str(), wanted) {
                ("$and", Value::Array(filters)) => self.joined(filters, "AND", column)?,
                ("$or", Value::Array(filters)) => self.joined(filters, "OR", column)?,
                ("$not", Value::Object(filter)) => {
                    self.sql.push_str("NOT ");
                    self.all(filter, column)?;
                }
                _ if name.starts_with('$') => return Err(refused(name)),
                _ => self.field(&path(name)?, wanted, column)?,
            }
        }
        self.sql.push(')');
        Ok(())
    }

    fn joined(&mut self, filters: &[Value], word: &str, column: &str) -> Result<(), Error> {
        if filters.is_empty() {
            return Err(Error::invalid("filter", format!("${} must not be empty", word.to_lowercase())));
        }
        self.sql.push('(');
        for (at, filter) in filters.iter().enumerate() {
            if at > 0 {
                self.sql.push_str(&format!(" {word} "));
            }
            let filter = filter
                .as_object()
                .ok_or_else(|| Error::invalid("filter", format!("`{filter}` is not a filter")))?;
            self.all(filter, column)?;
        }
        self.sql.push(')');
        Ok(())
    }

    /// A field against a value, or against operators.
    fn field(&mut self, path: &str, wanted: &Value, column: &str) -> Result<(), Error> {
        let operators = wanted.as_object().filter(|fields| fields.keys().any(|name| name.starts_with('$')));
        let Some(operators) = operators else { return self.equal(path, wanted, column) };
        self.sql.push_str("(1");
        for (operator, wanted) in operators {
            self.sql.push_str(" AND ");
            match (operator.as_str(), wanted) {
                ("$eq", _) => self.equal(path, wanted, column)?,
                ("$ne", _) => {
                    self.sql.push_str("NOT ");
                    self.equal(path, wanted, column)?;
                }
                ("$gt", _) => self.compare(path, ">", wanted, column)?,
                ("$gte", _) => self.compare(path, ">=", wanted, column)?,
                ("$lt", _) => self.compare(path, "<", wanted, column)?,
                ("$lte", _) => self.compare(path, "<=", wanted, column)?,
                ("$in", Value::Array(values)) => self.any_of(path, values, column)?,
                ("$nin", Value::Array(values)) => {
                    self.sql.push_str("NOT ");
                    self.any_of(path, values, column)?;
                }
                ("$exists", Value::Bool(exists)) => {
                    let not = if *exists { "NOT " } else { "" };
                    self.push(&format!("json_type({column}, ?) IS {not}NULL"), [path.into()]);
                }
                ("$not", Value::Object(_)) => {
                    self.sql.push_str("NOT ");
                    self.field(path, wanted, column)?;
                }
                _ => return Err(refused(operator)),
            }
        }
        self.sql.push(')');
        Ok(())
    }

    fn any_of(&mut self, path: &str, values: &[Value], column: &str) -> Result<(), Error> {
        self.sql.push_str("(0");
        for value in values {
            self.sql.push_str(" OR ");
            self.equal(path, value, column)?;
        }
        self.sql.push(')');
        Ok(())
    }

    /// The value itself, or an element of an array. Null is also what is not there.
    fn equal(&mut self, path: &str, wanted: &Value, column: &str) -> Result<(), Error> {
        let each = |test: &str| {
            format!(
                "EXISTS (SELECT 1 FROM json_each({column}, ?) AS e
                 WHERE json_type({column}, ?) <> 'object' AND {test})"
            )
        };
        let at = || Value::from(path);
        match wanted {
            Value::Null => self.push(
                &format!("(json_type({column}, ?) IS NULL OR {})", each("e.type = 'null'")),
                [at(), at(), at()],
            ),
            Value::Bool(value) => self.push(&each(&format!("e.type = '{value}'")), [at(), at()]),
            Value::Number(_) => {
                self.push(
                    &each("e.type IN ('integer', 'real') AND e.atom = ?"),
                    [at(), at(), wanted.clone()],
                );
            }
            Value::String(_) => {
                self.push(&each("e.type = 'text' AND e.atom = ?"), [at(), at(), wanted.clone()]);
            }
            Value::Array(_) | Value::Object(_) => self.push(
                &format!("(json_extract({column}, ?) = json(?) OR {})", each("e.value = json(?)")),
                [at(), wanted.clone(), at(), at(), wanted.clone()],
            ),
        }
        Ok(())
    }

    /// Order within one type: a number is not less than a text.
    fn compare(&mut self, path: &str, sign: &str, wanted: &Value, column: &str) -> Result<(), Error> {
        let types = match wanted {
            Value::Number(_) => "'integer', 'real'",
            Value::String(_) => "'text'",
            Value::Bool(_) => "'true', 'false'",
            _ => return Err(Error::invalid("filter", format!("`{wanted}` has no order"))),
        };
        let sql = format!(
            "EXISTS (SELECT 1 FROM json_each({column}, ?) AS e
             WHERE json_type({column}, ?) <> 'object' AND e.type IN ({types}) AND e.atom {sign} ?)"
        );
        self.push(&sql, [path.into(), path.into(), wanted.clone()]);
        Ok(())
    }

    fn push<const N: usize>(&mut self, sql: &str, values: [Value; N]) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }
}

/// A field's path as SQLite writes it.
pub(crate) fn path(field: &str) -> Result<String, Error> {
    let mut path = String::from("$");
    for part in field.split('.') {
        if part.is_empty() || part.contains('"') || part.starts_with('$') {
            return Err(Error::invalid(field, format!("`{field}` is not a field's name")));
        }
        path.push_str(&format!(".\"{part}\""));
    }
    Ok(path)
}

/// The fields that must be equal to a value: what an upsert begins with.
pub(crate) fn equalities(filter: &Object) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for (name, wanted) in filter {
        match wanted {
            Value::Array(filters) if name == "$and" => {
                found.extend(filters.iter().filter_map(Value::as_object).flat_map(equalities));
            }
            Value::Object(operators) if operators.keys().any(|name| name.starts_with('$')) => {
                found.extend(operators.get("$eq").map(|value| (name.as_str(), value)));
            }
            _ if name.starts_with('$') => {}
            _ => found.push((name.as_str(), wanted)),
        }
    }
    found
}

fn refused(operator: &str) -> Error {
    Error::invalid("filter", format!("`{operator}` is not an operator here, or not with such a value"))
}
