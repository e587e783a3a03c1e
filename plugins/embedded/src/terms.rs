//! Words of a text, and words that are nearly the same.

/// At most so many words stand in for one with a typing error.
const EXPANSIONS: usize = 50;

/// The words of a text, as the index has them: letters and digits, small, without accents of Latin letters being told apart by
/// the index alone.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// How many errors a word of this length may have.
pub(crate) fn allowed(word: &str) -> usize {
    match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// Those of `known` that differ from `word`, but not by more than it may: with their distance, nearest first.
pub(crate) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<(usize, String)> {
    let (most, letters) = (allowed(word), word.chars().collect::<Vec<_>>());
    let mut found: Vec<(usize, String)> = known
        .into_iter()
        .filter_map(|term| {
            let distance = distance(&letters, &term.chars().collect::<Vec<_>>());
            (1..=most).contains(&distance).then(|| (distance, term.to_owned()))
        })
        .collect();
    found.sort();
    found.truncate(EXPANSIONS);
    found
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_errors_finds_its_like() {
        let known = ["alice", "alicia", "bob", "smith"];
        assert_eq!(near("alcie", known), [(1, "alice".to_owned())]);
        assert_eq!(near("smyth", known), [(1, "smith".to_owned())]);
        assert_eq!(near("bo", known), []);
        assert_eq!(near("alicei", known), [(1, "alice".to_owned()), (2, "alicia".to_owned())]);
    }
}
