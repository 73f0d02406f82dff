//! The language against renderings of the reference implementation (Jinja 3.1, set up as `transformers` does).

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use proptest::prelude::*;

fn render(source: &str) -> Result<String, TemplateError> {
    let message = |role: &str, content: &str| {
        let content = Value::from(Text::outside(content));
        Value::map([(Value::text("role"), Value::text(role)), (Value::text("content"), content)].into())
    };
    let messages = Value::list(Vec::from([message("user", " Hi "), message("assistant", "a</x>b")]));
    let context = Vec::from([
        ("messages".into(), messages),
        ("n".into(), Value::Integer(7)),
        ("nothing".into(), Value::None),
    ]);
    Template::parse(source)?.render(context, None).map(|text| text.as_str().into())
}

fn check(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        assert_eq!(render(source).as_deref(), Ok(*expected), "{source}");
    }
}

#[test]
fn white_space_around_blocks_goes() {
    check(&[
        ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\nb\nc"),
        ("a  \n  {% if true %}  b{% endif %}  c", "a  \n  b  c"),
        ("a {%- if true -%} b {%- endif %} c", "ab c"),
        ("a\n  {{ 1 }}\n  {{- 2 -}}\n  b", "a\n  12b"),
        ("x\n  {# note #}\ny {#- z -#} w", "x\nyw"),
        ("  {%+ if true %}a{% endif %}\n\n", "  a"),
        ("{% if true %}  {% if true %}a{% endif %}{% endif %}", "  a"),
    ]);
}

#[test]
fn expressions_bind_as_they_should() {
    check(&[
        ("{{ 1 + 2 * 3 - 4 // 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "6 -4 2 3.5"),
        ("{{ 'a' ~ 1 + 2 if false else 'b' ~ (1 + 2) }}", "b3"),
        ("{{ not 1 == 2 and 2 in [1, 2] }} {{ 'x' not in 'abc' }}", "True True"),
        ("{{ 1 if false }}|{{ 'a' if false else 'b' if false else 'c' }}", "|c"),
        ("{{ none or 'x' }} {{ 0 and 1 }} {{ '' or none }}", "x 0 None"),
        ("{{ n is defined and n is not none and m is not defined }}", "True"),
        ("{{ n is divisibleby 7 }} {{ n is in [7] }} {{ 'a' is string }}", "True True True"),
        ("{{ 'a' 'b' }} {{ \"it's\\n\\u00e9\" }} {{ {'k': [1, 2]}['k'][-1] }}", "ab it's\né 2"),
        (
            "{{ [1, 2, 3][1:] | length }} {{ 'héllo'[1:3] }} {{ 'abc'[:-1] }} {{ [1, 2][::-1] | join(',') }}",
            "2 él ab 2,1",
        ),
        ("{{ messages[0]['role'] }} {{ messages[-1].content.split('</x>')[-1] }}", "user b"),
        ("{{ messages[0].content | trim | upper }}{{ messages[0].missing }}", "HI"),
        ("{{ range(3) | list | join }} {{ range(5, 0, -2) | join(' ') }}", "012 5 3 1"),
        ("{{ {'a': 'ü\"', 'b': [true, none]} | tojson }}", "{\"a\": \"ü\\\"\", \"b\": [true, null]}"),
        ("{{ messages | map(attribute='role') | join(' ') }}", "user assistant"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        (
            "{{ ' x '.strip() ~ 'yy'.rstrip('y') ~ 'ab'.startswith('a') }} {{ missing | default('d') }}",
            "xTrue d",
        ),
    ]);
}

#[test]
fn statements_do_what_they_say() {
    check(&[
        (
            "{% for m in messages %}{{ loop.index }}{{ m.role }}{% if not loop.last %},{% endif %}{% endfor %}",
            "1user,2assistant",
        ),
        (
            "{% for i in range(9) if i % 2 %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{% else %}-{% endfor %}",
            "135",
        ),
        (
            "{% for x in [] %}a{% else %}none{% endfor %}{% for i in range(3) %}{% if i == 1 %}{% continue %}\
             {% endif %}{{ i }}{% endfor %}",
            "none02",
        ),
        ("{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "a1b2"),
        ("{% set x = 1 %}{% for i in [2] %}{% set x = i %}{% endfor %}{{ x }}", "1"),
        ("{% set ns = namespace(x=1) %}{% for i in [2] %}{% set ns.x = i %}{% endfor %}{{ ns.x }}", "2"),
        ("{% set x %}a{{ n }}{% endset %}{{ x * 1 if x is number else x }}", "a7"),
        ("{% macro f(a, b='!') %}{{ a }}{{ b }}{% endmacro %}{{ f('x') }}{{ f('y', b='?') }}", "x!y?"),
        ("{% if n > 9 %}a{% elif n == 7 %}b{% else %}c{% endif %}{% generation %}g{% endgeneration %}", "bg"),
    ]);
}

#[test]
fn what_is_wrong_is_named() {
    let long = "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}";
    let deep = "{% set ns = namespace(x=1) %}{% for i in range(99) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let many = "{% for i in range(9999) %}{% for i in range(9999) %}{% endfor %}{% endfor %}";
    let endless = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    let circle = "{% set ns = namespace() %}{% set ns.x = ns %}";
    for (source, expected) in [
        ("{{ raise_exception('No system turns') }}", "the chat template refuses: No system turns"),
        ("\n{{ strftime_now('%Y') }}", "line 2, uses the function \"strftime_now\", which is not supported"),
        ("{% import 'x' as y %}", "line 1, uses the statement \"import\", which is not supported"),
        ("{{ 'a' | shout }}", "uses the filter \"shout\""),
        ("{{ 'a'.shout() }}", "uses the method \"shout\""),
        ("{{ 'a' is loud }}", "uses the test \"loud\""),
        ("a\nb {% if x %}\n", "line 2: a block without end"),
        ("{{ 'a }}", "line 1: a string without end"),
        ("{# a", "a comment without end"),
        ("{{ 1 + }}", "found \"the end of the block\", wanted a value"),
        ("{{ (1 }}", "wanted )"),
        ("{{ 1 ? 2 }}", "found \"?\", wanted an operator"),
        ("{{ missing.x }}", "an attribute does not work on an undefined value"),
        ("{{ 'a' + 1 }}", "addition does not work on an integer"),
        ("{% for i in none %}{% endfor %}", "a loop does not work on none"),
        ("{{ messages }}", "putting out does not work on a list"),
        (long, "line 1: joining strings takes more work than a rendering may do"),
        (deep, "a value is nested too deep"),
        (circle, "setting an attribute does not work on a namespace"),
        (many, "takes more work than a rendering may do"),
        (endless, "rendering is nested too deep"),
        ("{{ range(9999999) }}", "line 1: range takes more work than a rendering may do"),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.contains(expected), "{source}\n{message}");
    }
}

#[test]
fn nesting_is_bounded_however_it_is_made() {
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(5000)),
        format!("{{{{ {}1 }}}}", "-".repeat(5000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000)),
        format!("{}{}", "{% if 1 %}".repeat(5000), "{% endif %}".repeat(5000)),
    ] {
        let message = render(&source).unwrap_err().to_string();
        assert!(message.contains("are nested too deep"), "{message}");
    }
    // Chains are no nesting.
    let sum = format!("{{{{ 0{} }}}}", " + 1".repeat(5000));
    assert_eq!(render(&sum).as_deref(), Ok("5000"));
    let choices = format!("{{{{ {} 'x' }}}}", "1 if false else ".repeat(5000));
    assert_eq!(render(&choices).as_deref(), Ok("x"));
    let attributes = format!("{{{{ n{} }}}}", "|string|int".repeat(5000));
    assert_eq!(render(&attributes).as_deref(), Ok("7"));
}

proptest! {
    #[test]
    fn no_text_is_too_strange(
        words in proptest::collection::vec(
            prop_oneof![
                Just("{% "), Just(" %}"), Just("{{ "), Just(" }}"), Just("{#"), Just("#}"), Just("-%}"), Just("{%-"),
                Just("if "), Just("else"), Just("endif"), Just("for x in messages"), Just("endfor"), Just("set x ="),
                Just("x"), Just("messages"), Just(".content"), Just("[1:]"), Just("["), Just("]"), Just("("), Just(")"),
                Just("'s'"), Just("'"), Just("\\"), Just("|trim"), Just("|length"), Just(" + "), Just(" ~ "),
                Just("not "),
                Just(" is defined"), Just("{"), Just("}"), Just(":"), Just(","), Just("9"),
                Just("99999999999999999999"), Just("é\n"),
            ],
            0..40,
        )
    ) {
        let _ = render(&words.concat());
    }
}

#[test]
fn the_deepest_template_fits_a_small_stack() {
    extern crate std;
    let blocks = ("{% if 1 %}".repeat(22), "{% endif %}".repeat(22));
    let deep = format!("{}{{{{ {}1{} }}}}{}", blocks.0, "[(not ".repeat(7), ")]".repeat(7), blocks.1);
    let endless = "{% macro f() %}{% for i in [1] %}{{ [f()] | join }}{% endfor %}{% endmacro %}{{ f() }}";
    // Engines have 128 KiB.
    let thread = std::thread::Builder::new().stack_size(96 * 1024).spawn(move || {
        let message = |source| render(source).unwrap_err().to_string();
        [message(&deep), message(endless)]
    });
    let [deep, endless] = thread.unwrap().join().unwrap();
    assert_eq!(deep, "the chat template, line 1: putting out does not work on a list");
    assert_eq!(endless, "the chat template, line 1: rendering is nested too deep");
}

/// A template and the reference's rendering.
#[derive(serde::Deserialize)]
struct Case {
    template: String,
    rendered: String,
}

/// Templates that the reference renders.
#[derive(serde::Deserialize)]
struct Cases {
    equal: Vec<Case>,
    /// Templates that are refused, each with the name of its unknown part.
    refused: Vec<Case>,
}

#[test]
fn all_parts_of_the_language_do_as_the_reference_does() {
    let cases = include_str!("../../../../fixtures/reference/jinja.json");
    let Cases { equal, refused } = serde_json::from_str(cases).unwrap();
    for Case { template, rendered } in equal {
        assert_eq!(render(&template).as_deref(), Ok(rendered.as_str()), "{template}");
    }
    for Case { template, rendered } in refused {
        let message = render(&template).unwrap_err().to_string();
        assert!(message.contains(&rendered), "{template}\n{message}");
    }
}

#[test]
fn letters_change_as_in_python() {
    for (text, capitalized, titled, words) in [
        (
            "they're here-now (ok) <b",
            "They're here-now (ok) <b",
            "They'Re Here-Now (Ok) <B",
            "They're Here-Now (Ok) <B",
        ),
        ("ßA ǆB ﬁC ŉ", "Ssa ǆb ﬁc ŉ", "Ssa ǅb Fic ʼN", "SSa Ǆb FIc ʼN"),
        ("ΑΣ ΣΣ", "Ας σς", "Ας Σς", "Ασ Σσ"),
        ("ᾳ ᾲ აბ 你a", "ᾼ ᾲ აბ 你a", "ᾼ Ὰ\u{345} აბ 你A", "ΑΙ ᾺΙ Აბ 你a"),
    ] {
        assert_eq!(words::capitalized(text), capitalized);
        assert_eq!(words::titled(text), titled);
        assert_eq!(words::title_words(text), words);
    }
}
