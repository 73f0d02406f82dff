//! The task `logits`: logits of given tokens, position by position.

use alloc::vec::Vec;

use embodios_pool::Pool;

use super::{BadLine, Fields, Responder, text};
use crate::cache::{self, Limits};
use crate::evaluate::Evaluator;
use crate::prompt;

impl Responder<'_> {
    /// Gives `out` the logits position by position: all of them at once may be more than there is memory for.
    pub(super) fn logits(
        &self,
        pool: &mut Pool,
        number: usize,
        mut fields: Fields,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BadLine> {
        let ids = self.prompt(&mut fields)?;
        let all = match fields.text("positions")?.as_deref() {
            None | Some("last") => false,
            Some("all") => true,
            Some(_) => return Err(BadLine::field("positions", "wants \"last\" or \"all\"")),
        };
        fields.finish()?;
        let (config, budget) = (&self.model.config, cache::budget(&pool.platform().memory()));
        // A failure at a later position is reported before the answer has begun.
        prompt::check(&ids, config.vocabulary, 0, config.context).map_err(BadLine::whole)?;
        let limits = Limits { context: Some(ids.len()), budget };
        let mut evaluator = Evaluator::new(self.model, self.kernels, limits).map_err(BadLine::whole)?;
        // The division of a prompt into pieces leaves no trace in the logits.
        let pieces = ids.chunks(if all { 1 } else { ids.len() });
        let logits = pieces.map(|piece| evaluator.feed(pool, piece).map(text).map_err(BadLine::whole));
        answer_in_parts(number, &ids, logits, out)
    }
}

/// Gives `out` the answer to line `number`: `ids`, and the JSON of their `logits` as it comes. What goes wrong when the
/// answer has begun is a part of it.
///
/// # Errors
/// When something goes wrong before.
fn answer_in_parts(
    number: usize,
    ids: &[u32],
    mut logits: impl Iterator<Item = Result<Vec<u8>, BadLine>>,
    out: &mut dyn FnMut(&[u8]),
) -> Result<(), BadLine> {
    let first = logits.next().transpose()?.unwrap_or_default();
    out(&[b"{\"ids\":", text(ids).as_slice(), b",\"logits\":[", &first].concat());
    for logits in logits {
        match logits {
            Ok(logits) => out(&[b",", logits.as_slice()].concat()),
            Err(error) => {
                let members = text(&error.at_line(number));
                out(&[b"],", members.strip_prefix(b"{").unwrap_or(&members)].concat());
                return Ok(());
            }
        }
    }
    out(b"]}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn an_answer_that_fails_half_way_is_one_object() {
        let answer = |logits: Vec<Result<Vec<u8>, BadLine>>| {
            let mut bytes = Vec::new();
            let result =
                answer_in_parts(7, &[1, 2], logits.into_iter(), &mut |part| bytes.extend_from_slice(part));
            (result.is_ok(), bytes)
        };
        let fails = || Err(BadLine::whole("no memory"));
        assert_eq!(answer(Vec::from([fails()])), (false, Vec::new()));
        let (_, whole) = answer(Vec::from([Ok(b"[0.5]".into()), Ok(b"[1.5]".into())]));
        assert_eq!(whole, br#"{"ids":[1,2],"logits":[[0.5],[1.5]]}"#);
        let (answered, failed) = answer(Vec::from([Ok(b"[0.5]".into()), fails()]));
        let failed: Value = serde_json::from_slice(&failed).unwrap();
        let expected =
            json!({ "ids": [1, 2], "logits": [[0.5]], "line": 7, "field": null, "error": "no memory" });
        assert_eq!((answered, failed), (true, expected));
    }
}
