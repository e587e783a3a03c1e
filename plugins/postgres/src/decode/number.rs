//! `numeric`: decimal numbers of any length.

use chassis_guest::serde_json::Value;

/// So many digits every f64 keeps.
const EXACT: usize = 15;

/// A number while JSON's readers keep it exactly, beyond that a text.
pub(super) fn numeric(bytes: &[u8]) -> Option<Value> {
    let text = decimal(bytes)?;
    let digits = text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let significant = digits.iter().skip_while(|digit| **digit == b'0').count();
    if significant > EXACT || text.ends_with(char::is_alphabetic) {
        return Some(text.into());
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    Some(text.parse::<f64>().map_or(Value::String(text), Value::from))
}

/// Groups of four digits, the first weighing `10000 ^ weight`.
fn decimal(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(i16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)?, word(3)?);
    match sign as u16 {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let group = |position: i16| -> Option<i16> {
        let at = weight.checked_sub(position)?;
        if at < 0 || at >= count { Some(0) } else { word(4 + usize::try_from(at).ok()?) }
    };
    let mut text = String::new();
    if sign as u16 == 0x4000 {
        text.push('-');
    }
    let mut whole = String::new();
    for position in (0..=weight.max(0)).rev() {
        whole.push_str(&format!("{:04}", group(position)?));
    }
    let trimmed = whole.trim_start_matches('0');
    text.push_str(if trimmed.is_empty() { "0" } else { trimmed });
    if scale > 0 {
        let scale = usize::try_from(scale).ok()?;
        let mut fraction = String::new();
        let mut position = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", group(position)?));
            position -= 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis_guest::serde_json::json;

    fn bytes(words: &[i32]) -> Vec<u8> {
        words.iter().flat_map(|word| (*word as u16).to_be_bytes()).collect()
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(&bytes(&[3, 1, 0, 2, 1, 2345, 6700])).as_deref(), Some("12345.67"));
        assert_eq!(decimal(&bytes(&[1, -1, 0x4000, 3, 50])).as_deref(), Some("-0.005"));
        assert_eq!(decimal(&bytes(&[1, 2, 0, 0, 7])).as_deref(), Some("700000000"));
        assert_eq!(decimal(&bytes(&[0, 0, 0, 0])).as_deref(), Some("0"));
        assert_eq!(numeric(&bytes(&[3, 1, 0, 2, 1, 2345, 6700])), Some(json!(12345.67)));
        let long = bytes(&[5, 4, 0, 0, 1, 2345, 6789, 123, 4567]);
        assert_eq!(numeric(&long), Some(json!("12345678901234567")));
    }
}
