//! Everything the user can set: defaults < file < environment < flags, resolved once at the edge.
//!
//! The shipped `config.toml` *is* the lowest layer, so what it says cannot differ from what is done.
//! A key is known because [`Config::load`] reads it; there is no second list of keys or types.

mod choice;
mod command;
mod endpoint;
mod error;
mod header;
mod http;
mod key;
mod kind;
mod known_secrets;
mod layer;
mod mcp;
mod origin;
mod reader;
mod reference;
mod secret;
mod sections;
mod server;
mod sources;
mod store_url;
#[cfg(test)]
mod tests;
mod tool;

use std::path::PathBuf;

pub use choice::{LogFormat, LogLevel, McpProtocol, Provider, ToolKind};
pub use command::{Command, EnvVariable};
pub use endpoint::BaseUrl;
pub use error::Error;
pub use header::ExtraHeader;
#[cfg(feature = "mcp")]
pub(crate) use header::looks_secret;
pub use http::{Body, Http, Pairs, UrlText};
pub use mcp::{McpServer, McpTerms};
pub use origin::{Row, Source};
pub use reference::{Filled, Text};
pub use secret::Variables;
pub use sections::{Log, Model, Runtime, Session, Store, Supervision, Telemetry, Turn};
pub use server::{Server, ServerToken};
pub use sources::Sources;
pub use store_url::StoreUrl;
pub use tool::{Rate, Simulate, Tool, ToolWork};

use layer::Layer;
use reader::{Reader, Section};

use crate::model::{self, Dialect};
use crate::store::StoreOptions;

/// The settings every program starts with.
const SHIPPED: &str = include_str!("../../config.toml");

/// The resolved settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[model]`: who answers.
    pub model: Model,
    /// `[turn]`: the course of a turn and its limits.
    pub turn: Turn,
    /// `[session]`: what one session may do.
    pub session: Session,
    /// `[supervision]`: what follows the failure of a worker.
    pub supervision: Supervision,
    /// `[runtime]`: where sessions run.
    pub runtime: Runtime,
    /// `[store]`: where sessions are kept.
    pub store: Store,
    /// `[server]`: where `serve` listens, and for whom.
    pub server: Server,
    /// `[log]`: what goes to stderr.
    pub log: Log,
    /// `[telemetry]`: what is told to tools that watch from outside.
    pub telemetry: Telemetry,
    /// `[[tools]]`: what the model may call, in the order of the file.
    pub tools: Vec<Tool>,
    /// `[[mcp]]`: servers whose tools the model may call, in the order of the file.
    pub mcp: Vec<McpServer>,
    /// A file of another program that lists further ones.
    pub mcp_config: Option<String>,
    rows: Vec<Row>,
    variables: Variables,
    working_dir: PathBuf,
}

/// Who answers, after `auto` is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedProvider {
    /// The endpoint at [`Model::base_url`].
    OpenAi,
    /// The built-in stand-in.
    Offline,
}

impl Config {
    /// Reads and merges all layers.
    ///
    /// # Errors
    /// The first thing that is wrong, with its key and where it came from; nothing is skipped or repaired.
    /// A value that a stronger layer replaces is not looked at.
    pub fn load(sources: Sources) -> Result<Config, Error> {
        let file = sources.read_file()?;
        let config = Config::resolve(sources.layers(file)?)?;
        Ok(Config { variables: sources.env, working_dir: sources.working_dir, ..config })
    }

    /// Returns every setting with its value and source, in the order of the shipped `config.toml`.
    ///
    /// What a tool leaves out and has no default for has no row.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns where the value of `key` came from.
    fn source(&self, key: &str) -> &Source {
        let row = self.rows.iter().find(|row| row.key == key);
        row.map_or(&Source::Default, |row| &row.source)
    }

    /// Returns the environment the settings were read from, `.env` included.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    /// Returns where a file named in the settings is: relative paths begin in the working directory.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.working_dir.join(name)
    }

    /// Returns the further headers of every request, with what their values refer to filled in.
    ///
    /// # Errors
    /// [`Error::NoVariable`] or [`Error::BadKey`] for the first variable that is of no use.
    pub fn headers(&self) -> Result<Vec<model::Header>, Error> {
        self.model.extra_headers.iter().map(|header| header.resolve(&self.variables)).collect()
    }

    /// Returns the URL of the store with what it refers to filled in: it may hold a password.
    ///
    /// # Errors
    /// [`Error::NoVariable`] for the first variable that is not set.
    pub fn store_url(&self) -> Result<String, Error> {
        self.store.url.resolve(&self.variables)
    }

    /// Returns how the store is opened; relative paths begin at `directory`.
    pub fn store_options(&self, directory: impl Into<PathBuf>) -> StoreOptions {
        let Store { sync, lease, retry, .. } = self.store;
        StoreOptions { directory: directory.into(), sync, lease, retry }
    }

    /// Decides who answers.
    ///
    /// # Errors
    /// [`Error::NoKey`] if an endpoint elsewhere is asked for and no key is set, in a header neither;
    /// what is wrong with the headers, if that is why.
    pub fn resolved_provider(&self) -> Result<ResolvedProvider, Error> {
        let has_key = self.model.api_key_file.is_some()
            || self.key_in_variable().is_some()
            || self.has_key_header();
        let can_ask = has_key || self.model.base_url.is_local();
        match self.model.provider {
            Provider::Offline => Ok(ResolvedProvider::Offline),
            Provider::Auto | Provider::OpenAi if can_ask => Ok(ResolvedProvider::OpenAi),
            Provider::Auto => Ok(ResolvedProvider::Offline),
            Provider::OpenAi => {
                self.headers()?; // The variable of one may be what is missing.
                Err(Error::NoKey {
                    endpoint: self.model.base_url.to_string(),
                    variable: self.key_variable().map(str::to_owned),
                })
            }
        }
    }

    /// Returns how many tools one request may list, if there is a limit.
    pub fn max_tools(&self) -> Option<u32> {
        self.dialect_used().max_tools
    }

    /// Checks that one request may list `count` tools.
    ///
    /// # Errors
    /// [`Error::TooManyTools`] with the limit of the dialect, or the one that is set in its place.
    pub fn check_tool_count(&self, count: usize) -> Result<(), Error> {
        let Model { base_url, dialect: set, quirks, .. } = &self.model;
        let dialect = self.dialect_used();
        let most = dialect.max_tools.filter(|most| count > usize::try_from(*most).unwrap_or(count));
        let Some(most) = most else { return Ok(()) };
        let place = |key: &str| format!("`{key}` in {}", self.source(key));
        let whose = match (quirks.max_tools, set) {
            (Some(_), _) => place("model.quirks.max_tools"),
            (None, Some(_)) => format!("dialect `{}`, of {}", dialect.name, place("model.dialect")),
            (None, None) => format!("dialect `{}`, that of {base_url}", dialect.name),
        };
        Err(Error::TooManyTools { count, most, whose })
    }

    /// The dialect of who answers.
    fn dialect_used(&self) -> Dialect {
        let Model { dialect, quirks, .. } = &self.model;
        match self.resolved_provider() {
            Ok(ResolvedProvider::Offline) => quirks.on(dialect.unwrap_or_else(Dialect::generic)),
            _ => self.model.resolved_dialect(),
        }
    }

    /// Checks that it will be known what replies cost, where there is a budget for it. `name` is that of
    /// the model that answers, where it is not [`Model::name`].
    ///
    /// # Errors
    /// [`Error::NoCost`] if neither the endpoint nor `model.price` says, for one of the models at least.
    pub fn check_cost_budget(&self, name: Option<&str>) -> Result<(), Error> {
        let Some(key) = self.cost_budget_key() else { return Ok(()) };
        let Model { base_url, price, fallbacks, .. } = &self.model;
        let is_offline = matches!(self.resolved_provider(), Ok(ResolvedProvider::Offline));
        let (reports, who) = match is_offline {
            true => (false, "the offline stand-in".to_owned()),
            false => (self.model.resolved_dialect().reports_cost, format!("{base_url}")),
        };
        let is_priced_model = is_offline || name.is_none_or(|name| name == self.model.name);
        let missing = match price {
            _ if reports => return Ok(()),
            None => "`model.price`",
            // A price is that of one model.
            Some(_) if !is_priced_model => "`model.name` to the model that `model.price` is of",
            Some(_) if !is_offline && !fallbacks.is_empty() => {
                "`model.fallbacks` to none, as `model.price` is of another model"
            }
            Some(_) => return Ok(()),
        };
        let budget = format!("`{key}` in {}", self.source(key));
        Err(Error::NoCost { budget, who, missing, may_say: !is_offline })
    }

    /// Says whether there is a budget of money.
    pub fn has_cost_budget(&self) -> bool {
        self.cost_budget_key().is_some()
    }

    fn cost_budget_key(&self) -> Option<&'static str> {
        let budgets = [
            ("turn.cost_budget", self.turn.budget.cost),
            ("session.cost_budget", self.session.budget.cost),
        ];
        budgets.into_iter().find(|(_, cost)| cost.is_some()).map(|(key, _)| key)
    }

    /// Says whether one of the further headers is a key, such as `api-key`.
    pub fn has_key_header(&self) -> bool {
        self.model.extra_headers.iter().any(|header| header.is_credential(&self.variables))
    }

    /// Merges `layers`, the weakest first, and reads what comes of it.
    fn resolve(layers: Vec<Layer>) -> Result<Config, Error> {
        let mut builder = ::config::Config::builder();
        for layer in layers {
            builder = builder.add_source(layer.with_plain_header_names());
        }
        let merged = builder.build()?.cache.into_table()?;
        let (config, rows) = Reader::read(merged, Config::read)?;
        Ok(Config { rows, ..config })
    }

    fn read(root: &mut Section<'_>) -> Result<Config, Error> {
        let model = root.table("model", Model::read)?;
        let turn = root.table("turn", Turn::read)?;
        let session = root.table("session", Session::read)?;
        let supervision = root.table("supervision", Supervision::read)?;
        let runtime = root.table("runtime", Runtime::read)?;
        let store = root.table("store", Store::read)?;
        let server = root.table("server", Server::read)?;
        let log = root.table("log", Log::read)?;
        let telemetry = root.table("telemetry", Telemetry::read)?;
        let tools = Tool::read_all(root, &turn, &supervision)?;
        let mcp = McpServer::read_all(root)?;
        let mcp_config = root.optional("mcp_config", kind::filled)?;
        model.check_choice(root, &tools)?;
        Ok(Config {
            runtime,
            store,
            server,
            log,
            telemetry,
            tools,
            mcp,
            mcp_config,
            model,
            turn,
            session,
            supervision,
            rows: Vec::new(),
            variables: Variables::default(),
            working_dir: PathBuf::new(),
        })
    }
}

impl Default for Config {
    /// Returns the settings of the shipped `config.toml`, without an environment.
    fn default() -> Self {
        let shipped = Layer::defaults(SHIPPED).and_then(|layer| Config::resolve(vec![layer]));
        shipped.expect("the shipped settings are read by a test")
    }
}
