//! Taking what is secret out of a text that comes from elsewhere.

use std::ops::Range;

use super::ApiKey;

/// How much of a key's beginning is no secret, such as `sk-or-v1`.
const MIN_SECRET_BYTES: usize = 9;

/// `message` with a mark in place of each of `secrets`. Providers like to repeat the key they refuse, and
/// an excerpt may end in the middle of it.
pub(crate) fn without_secrets(secrets: &[ApiKey], mut message: String) -> String {
    let secrets = secrets.iter().map(ApiKey::expose).filter(|secret| !secret.is_empty());
    let mut hidden: Vec<Range<usize>> =
        secrets.flat_map(|secret| places(secret, &message)).collect();
    hidden.sort_unstable_by_key(|place| (place.start, place.end));
    // One secret may hold another or run into it: what they cover together is hidden at once.
    hidden.dedup_by(|next, place| {
        let is_joined = next.start < place.end;
        if is_joined {
            place.end = place.end.max(next.end);
        }
        is_joined
    });
    for place in hidden.into_iter().rev() {
        message.replace_range(place, "[secret]");
    }
    message
}

/// Where `secret` stands in `message`, also where the message ends in the middle of it.
fn places(secret: &str, message: &str) -> Vec<Range<usize>> {
    let whole = message.match_indices(secret).map(|(start, _)| start..start + secret.len());
    let mut beginnings = (MIN_SECRET_BYTES..secret.len()).rev().filter_map(|end| secret.get(..end));
    let cut = beginnings.find(|part| message.ends_with(part));
    let cut = cut.map(|part| message.len() - part.len()..message.len());
    whole.chain(cut).collect()
}
