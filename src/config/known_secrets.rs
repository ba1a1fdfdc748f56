//! The secrets that the settings know of, wherever they stand.

use std::collections::BTreeSet;

use super::header::{Piece, pieces};
use super::tool::ToolWork;
use super::{Config, Tool};
use crate::model::{ApiKey, secrets_in};

/// Variables that every program gets, and that are no secrets wherever else they stand.
const PUBLIC: [&str; 3] = ["HOME", "LANG", "PATH"];

impl Config {
    /// Returns the values that nobody may see but those they are for: the key, what any setting refers
    /// to by `${env:…}`, and what is written where a secret belongs. What cannot be read is left out.
    pub fn secrets(&self) -> Vec<ApiKey> {
        let mut secrets: Vec<_> = self.api_key().ok().flatten().into_iter().collect();
        secrets.extend(self.headers().into_iter().flatten().flat_map(|header| header.secrets));
        // A setting shows its references, and nothing of what they stand for.
        let mut names: BTreeSet<_> =
            self.rows.iter().flat_map(|row| references(&row.value)).collect();
        names.extend(self.store.url.references().map(str::to_owned));
        let values = names.iter().filter(|name| !PUBLIC.contains(&&***name));
        let values = values.filter_map(|name| self.variables.get(name));
        secrets.extend(values.flat_map(secrets_in));
        let store = self.store_url().unwrap_or_default();
        secrets.extend(password(&store).into_iter().flat_map(secrets_in));
        let tokens = self.server.tokens.iter().filter_map(|token| self.variables.get(&token.env));
        secrets.extend(tokens.flat_map(secrets_in));
        let commands = self.tools.iter().filter_map(|tool: &Tool| match &tool.work {
            ToolWork::Command(command) => Some(command),
            ToolWork::Demo(_) | ToolWork::Http(_) => None,
        });
        let variables = commands.flat_map(|command| &command.env);
        let hidden = variables.filter(|variable| variable.looks_secret());
        let values = hidden.filter_map(|variable| variable.resolve(&self.variables).ok());
        secrets.extend(values.flat_map(|value| secrets_in(&value)));
        let endpoints = self.tools.iter().filter_map(|tool| match &tool.work {
            ToolWork::Http(http) => http.tool(&self.variables).ok(),
            ToolWork::Demo(_) | ToolWork::Command(_) => None,
        });
        secrets.extend(endpoints.flat_map(|endpoint| endpoint.known_secrets()));
        secrets
    }
}

/// The password of whoever logs in at `url`.
fn password(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (login, _) = rest.split('/').next()?.rsplit_once('@')?;
    Some(login.split_once(':')?.1)
}

/// The variables that `text` refers to.
fn references(text: &str) -> Vec<String> {
    let pieces = pieces(text).unwrap_or_default().into_iter();
    let name = |piece| match piece {
        Piece::Variable(name) => Some(name),
        Piece::Text(_) => None,
    };
    pieces.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::password;
    use crate::config::tests::load;

    #[test]
    fn the_password_of_a_store_is_known() {
        assert_eq!(password("postgres://u:s3cret@h/d?a=b"), Some("s3cret"));
        for none in ["postgres://u@h/d", "postgres://h/d", "sqlite:a@b", "memory:"] {
            assert_eq!(password(none), None, "{none}");
        }
    }

    #[test]
    fn secrets_are_known_wherever_they_stand() {
        let file = "[model]\nextra_headers = { cookie = \"session=literal-1\" }\n[store]\n\
                    url = \"postgres://u:${env:PG}@h/d\"\n[[tools]]\nname = \"x\"\nkind = \"command\"\n\
                    argv = [\"x\"]\nenv = { A = \"of ${env:FIRST}\", B_TOKEN = \"literal-2\", C = \"${env:HOME}\", \
                    D = \"harmless\" }\n[[tools]]\nname = \"y\"\nkind = \"http\"\n\
                    url = \"https://a.example/?token=literal-3&lang=english\"\n\
                    query = { api_key = \"literal-4\" }\nheaders = { x-auth = \"Bearer literal-5\" }";
        let env = [
            ("PG", "pg-secret"),
            ("FIRST", "first-secret"),
            ("HOME", "/home/someone"),
            ("OPENROUTER_API_KEY", "sk-key"),
            ("OTHER", "never-named"),
        ];
        let config = load(file, &env, &[]).unwrap();
        let secrets = config.secrets();
        let known: Vec<_> = secrets.iter().map(|secret| secret.expose()).collect();
        for secret in [
            "pg-secret",
            "first-secret",
            "sk-key",
            "literal-1",
            "literal-2",
            "literal-3",
            "literal-4",
            "literal-5",
        ] {
            assert!(known.contains(&secret), "{secret}: {known:?}");
        }
        for harmless in ["/home/someone", "never-named", "harmless", "english", "Bearer", ""] {
            assert!(!known.contains(&harmless), "{harmless}: {known:?}");
        }
    }
}
