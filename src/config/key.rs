//! The key of the endpoint: where it is looked for, and for whom it is meant.

use super::origin::Source;
use super::{Config, Error, secret};
use crate::model::{ApiKey, Dialect};

/// The variable of the provider that is asked by default.
const DEFAULT_VARIABLE: &str = "OPENROUTER_API_KEY";

impl Config {
    /// Looks up the key: in the file if one is set, else in the variable; blanks around it are dropped.
    ///
    /// # Errors
    /// [`Error::Read`] for the file, [`Error::BadKey`] for what is in it or in the variable.
    /// A variable that is missing or empty is no key.
    pub fn api_key(&self) -> Result<Option<ApiKey>, Error> {
        let (text, place) = match &self.model.api_key_file {
            Some(path) => {
                let text = std::fs::read_to_string(self.working_dir.join(path))
                    .map_err(|source| Error::Read { path: path.clone(), source })?;
                (text, path.display().to_string())
            }
            None => match self.key_in_variable() {
                Some((variable, text)) => (text.to_owned(), variable.to_owned()),
                None => return Ok(None),
            },
        };
        secret::key_in(&text).map(Some).ok_or(Error::BadKey { place })
    }

    /// Returns the variable that is looked at for the key: the one that is set, unless that is the
    /// default. Then it is the one that the users of the provider at this host keep their key in; at
    /// an unknown host, this machine included, the default counts only if it is set for this endpoint.
    /// `None` = no variable is looked at: the key of one provider is not shown to another.
    ///
    /// A dialect that is named does not count: what speaks like a provider need not be trusted with
    /// its key.
    pub fn key_variable(&self) -> Option<&str> {
        let set = &*self.model.api_key_env;
        if set != DEFAULT_VARIABLE {
            return Some(set);
        }
        let own = Dialect::for_url(self.model.base_url.as_str()).key_variable;
        own.or_else(|| self.sets_variable_for_endpoint().then_some(set))
    }

    /// Returns what to set so that there is a key: its variable, else the setting that names one.
    pub fn key_place(&self) -> &str {
        self.key_variable().unwrap_or("model.api_key_env")
    }

    /// Says whether the variable is set in the place that says `base_url`, or in a stronger one: not
    /// by default, nor for an endpoint that was replaced.
    fn sets_variable_for_endpoint(&self) -> bool {
        let variable = self.source("model.api_key_env");
        let endpoint = self.source("model.base_url");
        *variable != Source::Default && variable.strength() >= endpoint.strength()
    }

    /// Returns the key's variable and what is in it, unless that is blank.
    pub(super) fn key_in_variable(&self) -> Option<(&str, &str)> {
        let variable = self.key_variable()?;
        let text = self.variables.get(variable).filter(|text| !text.trim().is_empty())?;
        Some((variable, text))
    }
}
