//! Lists of indexes as an indexed Job writes them: `1,3-5,7`. Source: API reference, "JobStatus".

/// How many indexes a list names. They must rise, and lie below `completions`; the error says what does not.
pub fn count(list: &str, completions: i32) -> Result<i32, String> {
    let mut total = 0;
    let mut last = None;
    for (first, end) in intervals(list, completions).into_iter().collect::<Result<Vec<_>, _>>()? {
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that two lists share; parts that are malformed are passed over.
pub fn overlap(left: &str, right: &str, completions: i32) -> Option<i32> {
    let parse = |list| intervals(list, completions).into_iter().flatten().collect::<Vec<_>>();
    let (left, right) = (parse(left), parse(right));
    let (mut l, mut r) = (0, 0);
    while let (Some(a), Some(b)) = (left.get(l), right.get(r)) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 { l += 1 } else { r += 1 }
    }
    None
}

/// The intervals of a list, first and last index.
fn intervals(list: &str, completions: i32) -> Vec<Result<(i32, i32), String>> {
    if list.is_empty() {
        return Vec::new();
    }
    list.split(',').map(|part| interval(part, completions)).collect()
}

fn interval(part: &str, completions: i32) -> Result<(i32, i32), String> {
    let limits: Vec<_> = part.split('-').collect();
    if limits.len() > 2 {
        return Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let index = |text: &str| {
        let index: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        i32::try_from(index).ok().filter(|index| *index < completions).ok_or(format!("too large index: {text:?}"))
    };
    let first = index(limits[0])?;
    let Some(last) = limits.get(1) else { return Ok((first, first)) };
    let last = index(last)?;
    if first >= last {
        return Err(format!("non-increasing order, previous: {first}, current: {last}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted_or_refused() {
        for (list, wanted) in [
            ("", Ok(0)),
            ("0", Ok(1)),
            ("1,3-5,7", Ok(5)),
            ("10", Err("too large index: \"10\"")),
            ("3-12", Err("too large index: \"12\"")),
            ("x", Err("cannot convert string to integer for index: \"x\"")),
            ("5-3", Err("non-increasing order, previous: 5, current: 3")),
            ("1-3,2", Err("non-increasing order, previous: 3, current: 2")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts \
                     separated by '-'",
                ),
            ),
        ] {
            assert_eq!(count(list, 10), wanted.map_err(str::to_owned), "{list}");
        }
    }

    #[test]
    fn lists_that_share_an_index() {
        for (left, right, shared) in [
            ("", "1", None),
            ("0-3", "4-5", None),
            ("0-3", "2,5", Some(2)),
            ("7", "1,3-8", Some(7)),
            ("x,4", "4", Some(4)),
        ] {
            assert_eq!(overlap(left, right, 10), shared, "{left} {right}");
        }
    }
}
