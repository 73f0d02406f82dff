//! Chat templates made from the language's grammar, and real ones with their words mixed up, all of them rendered:
//! each ends, with a text or an error, and takes no more memory than its fuel pays for.
//!
//! `EMBODIOS_FUZZ_TEMPLATES` sets how many of each kind are tried, `EMBODIOS_FUZZ_SEED` where the random numbers begin.

use embodios_gguf::Gguf;
use embodios_text::chat::{ChatTemplate, Message, Role};
use embodios_text::tokenizer::Tokenizer;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::{LIVE, MADE, PEAK, STRING, entry, setting, string, strings};

/// Fuel of a rendering of little: what it has made is no larger, and a text that grows has twice the room it needs.
const FUEL: usize = 1 << 26;
/// Nesting of what is made.
const DEPTH: u32 = 4;

/// Templates in the ways of several families.
const REAL: [&str; 4] = [
    include_str!("../../../fixtures/reference/chat_template.jinja"),
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] ~ '\n\n' %}
{%- set messages = messages[1:] %}{% endif %}{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Turns alternate') }}{% endif %}
{%- if loop.first and system is defined %}{{ '[INST] ' + system + message.content | trim + ' [/INST]' }}
{%- else %}{{ message['content'].strip() ~ eos_token }}{%- endif %}{%- endfor %}",
    "{% set ns = namespace(found=false, parts=[]) %}{% for m in messages %}
{% if '</think>' in m.content %}{% set c = m.content.split('</think>')[-1].lstrip('\\n') %}{% else %}
{% set c = m.content %}{% endif %}{% set ns.parts = ns.parts + [c] %}{{ '<|' ~ m.role ~ '|>' ~ c }}
{% endfor %}{{ ns.parts | map('upper') | join(', ') | replace('A', 'B') }}\
{% if add_generation_prompt %}<|a|>{% endif %}",
    "{% macro show(v, depth=0) %}{% if v is mapping %}{% for k, x in v.items() %}{{ '  ' * depth ~ k ~ ': ' ~
show(x, depth + 1) }}{% endfor %}{% elif v is string %}{{ v | tojson }}{% else %}{{ v | string }}{% endif %}\
{% endmacro %}
{% for m in messages | selectattr('role', 'equalto', 'user') | list %}{{ show(m) | indent(2, true) }}{% endfor %}",
];

struct Maker(Xoshiro256PlusPlus);

impl Maker {
    fn below(&mut self, limit: usize) -> usize {
        (self.0.next_u64() % limit as u64) as usize
    }

    fn one<'s>(&mut self, choices: &[&'s str]) -> &'s str {
        choices[self.below(choices.len())]
    }

    /// `pattern` with an expression for every `@`, a name for every `$` and a number for every `#`.
    fn filled(&mut self, pattern: &str, depth: u32) -> String {
        let mut filled = String::new();
        for character in pattern.chars() {
            match character {
                '@' => filled += &self.expression(depth),
                '$' => filled += self.one(&["a", "b", "c", "ns.x", "messages"]),
                '#' => filled += self.one(&["0", "1", "2", "-1", "7", "99", "100000", "9223372036854775807"]),
                other => filled.push(other),
            }
        }
        filled
    }

    fn expression(&mut self, depth: u32) -> String {
        const LEAVES: [&str; 12] = [
            "$",
            "$",
            "#",
            "'é-'",
            "''",
            "messages[0].content",
            "range(#)",
            "1.5",
            "none",
            "missing",
            "loop.index",
            "ns",
        ];
        const PATTERNS: [&str; 62] = [
            "(@ ~ @)",
            "(@ + @)",
            "(@ * @)",
            "(@ * #)",
            "(@ - @)",
            "(@ // @)",
            "(@ % @)",
            "(@ / @)",
            "(@ == @)",
            "(@ < @ <= @)",
            "(@ in @)",
            "(@ not in @)",
            "(@ and @)",
            "(@ or @)",
            "(not @)",
            "-@",
            "[@, @]",
            "[@, @, @, @]",
            "{'k': @, 'l': @}",
            "{@: @}",
            "[$, $, $, $, $, $, $, $]",
            "($ ~ $ ~ $ ~ $)",
            "($ + $ + $)",
            "(@ if @ else @)",
            "@[#]",
            "@[#:]",
            "@[:#]",
            "@[::#]",
            "@.k",
            "@['k']",
            "(@ | list)",
            "(@ | upper)",
            "(@ | title)",
            "(@ | capitalize)",
            "(@ | replace(@, @))",
            "(@ | replace('', $))",
            "$.replace('', $)",
            "(@ | join(@))",
            "(@ | map('upper') | list)",
            "(@ | map('replace', '', $) | list)",
            "(@ | select | list)",
            "(@ | selectattr('k', 'eq', @) | list)",
            "(@ | tojson)",
            "(@ | tojson(indent=#))",
            "(@ | indent(#, true, true))",
            "(@ | indent(@))",
            "(@ | reverse | list)",
            "(@ | length)",
            "(@ | items | list)",
            "(@ | dictsort)",
            "(@ | first)",
            "(@ | last)",
            "(@ | default(@))",
            "(@ | int)",
            "(@ | string)",
            "$.split(@)",
            "$.split()",
            "$.strip(@)",
            "$.startswith(@)",
            "$.find(@)",
            "(@ is divisibleby #)",
            "f(@)",
        ];
        let pattern = match depth {
            0 => self.one(&LEAVES),
            _ if self.below(5) == 0 => self.one(&LEAVES),
            _ => self.one(&PATTERNS),
        };
        self.filled(pattern, depth.saturating_sub(1))
    }

    fn statements(&mut self, depth: u32) -> String {
        const PATTERNS: [&str; 9] = [
            "{{ @ }}",
            "text ",
            "{% set a = @ %}",
            "{% set b = @ %}",
            "{% set ns.x = @ %}",
            "{% set ns.x = @ %}",
            "{% set ns.x = [ns.x, ns.x] %}",
            "{% set ns.x = ns.x ~ ns.x %}",
            "{% set a, c = @, @ %}",
        ];
        const BLOCKS: [(&str, &str); 6] = [
            ("{% for b in @ %}", "{% endfor %}"),
            ("{% for b in range(9) %}", "{% endfor %}"),
            ("{% for c in range(9999) if @ %}", "{% if @ %}{% continue %}{% endif %}{% endfor %}"),
            ("{% if @ %}", "{% else %}{{ @ }}{% endif %}"),
            ("{% set c %}", "{% endset %}"),
            ("{% macro f(a, b=@) %}", "{% endmacro %}"),
        ];
        let mut statements = String::new();
        for _ in 0..1 + self.below(4) {
            if depth > 0 && self.below(3) == 0 {
                let (begin, end) = BLOCKS[self.below(BLOCKS.len())];
                statements += &self.filled(begin, 2);
                statements += &self.statements(depth - 1);
                statements += &self.filled(end, 2);
            } else {
                let pattern = self.one(&PATTERNS);
                statements += &self.filled(pattern, depth);
            }
        }
        statements
    }

    /// A real template with some of its words gone, doubled, or another's.
    fn mutated(&mut self) -> String {
        let words = |text: &'static str| -> Vec<&'static str> {
            text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_').collect()
        };
        let mut all = words(REAL[self.below(REAL.len())]);
        let others = words(REAL[self.below(REAL.len())]);
        for _ in 0..1 + self.below(4) {
            let at = self.below(all.len());
            match self.below(4) {
                0 => drop(all.remove(at)),
                1 => all.insert(at, all[at]),
                2 => all[at] = others[self.below(others.len())],
                _ => {
                    let other = self.below(all.len());
                    all.swap(at, other);
                }
            }
        }
        all.concat()
    }
}

/// A file that has a vocabulary and `template`, no model.
fn file_with(template: &str) -> Vec<u8> {
    let entries = [
        entry("tokenizer.ggml.model", STRING, &string("gpt2")),
        strings("tokenizer.ggml.tokens", &["a", "<s>"]),
        strings("tokenizer.ggml.merges", &[]),
        entry("tokenizer.chat_template", STRING, &string(template)),
    ];
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    file.extend(0u64.to_le_bytes());
    file.extend((entries.len() as u64).to_le_bytes());
    file.extend(entries.concat());
    file
}

/// The end of a rendering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Rendered,
    Refused,
    /// For want of fuel.
    Spent,
}

fn render(template: &str) -> End {
    let file = file_with(template);
    let file = Gguf::parse(&file).unwrap();
    let tokenizer = Tokenizer::new(&file).unwrap();
    let messages = [Role::User, Role::Assistant, Role::User]
        .map(|role| Message { role, content: " é</think>\nA-\r\n" });
    let room = 2 * FUEL + 200 * template.len();
    LIVE.set(0);
    PEAK.set(0);
    MADE.set(0);
    let result = ChatTemplate::new(&file, &tokenizer).map_err(|error| error.to_string());
    let result = result.and_then(|template| {
        let rendered = template.render(&messages, true, None).map_err(|error| error.to_string())?;
        Ok(rendered.as_str().len())
    });
    // It was rendered twice, first as a trial.
    assert!(PEAK.get() <= room, "{} bytes at a time\n{template}", PEAK.get());
    assert!(MADE.get() <= 4 * room, "{} bytes in all\n{template}", MADE.get());
    match result {
        Ok(length) if length <= FUEL => End::Rendered,
        Ok(length) => panic!("{length} bytes of text\n{template}"),
        Err(error) if error.contains("takes more work") => End::Spent,
        Err(error) => {
            assert!(error.contains("the chat template"), "{error}\n{template}");
            End::Refused
        }
    }
}

fn render_all(kind: &str, mut template: impl FnMut(&mut Maker) -> String) -> [usize; 3] {
    let mut maker = Maker(Xoshiro256PlusPlus::seed_from_u64(setting("EMBODIOS_FUZZ_SEED", 1)));
    let mut ends = [0; 3];
    for _ in 0..setting("EMBODIOS_FUZZ_TEMPLATES", 3000) {
        ends[render(&template(&mut maker)) as usize] += 1;
    }
    println!("{kind}: rendered {}, refused {}, out of fuel {}", ends[0], ends[1], ends[2]);
    ends
}

#[test]
fn programs_of_the_grammar_end() {
    let ends = render_all("made", |maker| {
        let begin =
            "{% set ns = namespace(x='ab') %}{% set a = 'ab' %}{% macro f(a) %}{{ a }}!{% endmacro %}";
        String::from(begin) + &maker.statements(DEPTH)
    });
    assert!(ends.iter().all(|&count| count > 0), "programs end in every way: {ends:?}");
}

#[test]
fn mutated_templates_end() {
    let ends = render_all("mutated", Maker::mutated);
    assert!(ends[0] > 0 && ends[1] > 0, "some render, some are refused: {ends:?}");
}

#[test]
fn values_that_double_end_in_an_error() {
    let lists = "{% set ns = namespace(x=1) %}{% for i in range(15) %}{% set ns.x = [ns.x, ns.x, ns.x, ns.x, ns.x, \
                 ns.x, ns.x, ns.x, ns.x, ns.x] %}{% endfor %}";
    for (rest, end) in [
        ("", End::Rendered),
        ("{% if ns.x == ns.x %}{% endif %}", End::Spent),
        ("{% set y = ns.x %}{{ y in [y] }}", End::Spent),
        ("{{ ns.x | tojson }}", End::Spent),
        ("{% set ns.x = [[ns.x]] %}", End::Refused),
    ] {
        assert_eq!(render(&format!("{lists}{rest}")), end, "{rest}");
    }
    let long = "{% set ns = namespace(x='ab') %}{% for i in range(20) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}\
        {% set x = ns.x %}";
    for rest in [
        "{{ x.replace('', x) }}",
        "{{ x | replace('a', x) }}",
        "{{ x * 1000 }}",
        "{{ [x] * 9000000 }}",
        "{{ x.split('b') }}",
        "{{ x | list }}",
        "{% for c in x %}{% endfor %}",
        "{{ x.strip(x) }}",
        "{% for i in range(999) %}{{ x | upper }}{% endfor %}",
        "{% for i in range(999) %}{% if 'c' in x %}{% endif %}{% endfor %}",
        "{% for i in range(999) %}{% if x == x ~ '' %}{% endif %}{% endfor %}",
        "{% for i in range(999) %}{{ x[1:] | length }}{% endfor %}",
        "{% for i in range(999) %}{{ x | tojson | length }}{% endfor %}",
        "{% for i in range(999) %}{{ [x, x] | join }}{% endfor %}",
        "{{ ('\\na' * 99) | indent(x) }}",
        "{{ 1 | tojson(indent=999999999) ~ [1] | tojson(indent=999999999) }}",
        "{{ '\n' | indent(999999999) }}",
        "{% for a in range(99) %}{% for b in range(999) %}{% for c in range(999) %}\
         {% endfor %}{% endfor %}{% endfor %}",
    ] {
        assert_eq!(render(&format!("{long}{rest}")), End::Spent, "{rest}");
    }
}
