//! Fields of a form or query: each counts where it is there once.

/// The value of a field that is there once.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    let mut values = url::form_urlencoded::parse(form.as_bytes()).filter(|(held, _)| held == name);
    let value = values.next().map(|(_, value)| value.into_owned());
    if values.next().is_some() { None } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_counts_where_it_is_there_once() {
        let cases = [
            ("", None),
            ("end=others", Some("others")),
            ("x=1&end=%61b", Some("ab")),
            ("end=a&end=b", None),
            ("END=a", None),
        ];
        for (form, expected) in cases {
            assert_eq!(field(form, "end").as_deref(), expected, "{form}");
        }
    }
}
