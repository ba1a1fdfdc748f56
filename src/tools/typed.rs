//! Tools from plain async functions.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::spec::Work;
use super::{CallContext, Error, Tool, ToolFuture, ToolType, binary};

impl ToolType {
    /// A tool from an async function. The schema is derived from the type of its arguments; what it
    /// returns goes to the model as it is if it is text, as JSON otherwise.
    ///
    /// ```
    /// use callsheet::{CallContext, Effects, ToolType};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Add {
    ///     /// The numbers to add up.
    ///     numbers: Vec<f64>,
    /// }
    ///
    /// async fn add(arguments: Add, _: CallContext) -> Result<f64, String> {
    ///     Ok(arguments.numbers.iter().sum())
    /// }
    ///
    /// let tool = ToolType::typed("add", "Adds numbers", add).effects(Effects::None);
    /// assert_eq!(tool.parameters()["required"][0], "numbers");
    /// ```
    ///
    /// Bytes (a `Vec<u8>`) are text if they are UTF-8; anything else is described in a line.
    ///
    /// # Errors
    /// What the function returns as its error is told to the model by its `Display`. An [`Error`] of
    /// this crate can say more: that the arguments are bad, or that another try is no use.
    pub fn typed<A, F, W, T, E>(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        function: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        F: Fn(A, CallContext) -> W + Clone + Send + Sync + 'static,
        W: Future<Output = Result<T, E>> + 'static,
        T: Serialize + 'static,
        E: Display + 'static,
    {
        let call = move |arguments: &str, context: CallContext| -> ToolFuture {
            match serde_json::from_str(arguments) {
                // `map`, since an async block would keep the work twice.
                Ok(arguments) => function(arguments, context).map(answer).boxed_local(),
                Err(error) => failed(Error::bad_arguments(error)),
            }
        };
        let call = Function(Arc::new(call));
        Self::new(name, description, schema_of::<A>(), move || call.clone())
    }
}

impl ToolType {
    /// A tool from a function that blocks its thread: files, a C library, heavy computing. As
    /// [`ToolType::typed`], but each call runs on a thread of its own, away from the sessions.
    ///
    /// A thread cannot be stopped. A call that is cancelled or late is answered all the same, its
    /// thread goes on until the function returns, and keeps the call's permits so long
    /// ([`ToolType::max_concurrency`]); look at [`CallContext::is_over`] now and then in order to
    /// end early. The number of threads is bounded ([`crate::session::RuntimeBuilder`]): when all of
    /// them go on with calls that were given up, further calls are answered `overloaded`.
    pub fn blocking<A, F, T, E>(
        name: impl Into<Arc<str>>,
        description: impl Into<Arc<str>>,
        function: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 'static,
        F: Fn(A, CallContext) -> Result<T, E> + Send + Sync + 'static,
        T: Serialize + 'static,
        E: Display + 'static,
    {
        let call = move |arguments: &str, context: CallContext| {
            let arguments = serde_json::from_str(arguments).map_err(Error::bad_arguments)?;
            answer(function(arguments, context))
        };
        let work = Work::Blocking(Arc::new(call));
        Self::of(name.into(), description.into(), schema_of::<A>(), work)
    }
}

/// The same function for every worker: a tool without state of its own.
struct Function<F>(Arc<F>);

impl<F> Clone for Function<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> Tool for Function<F>
where
    F: Fn(&str, CallContext) -> ToolFuture + 'static,
{
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        (self.0)(arguments, context)
    }
}

fn answer<T, E>(result: Result<T, E>) -> Result<String, Error>
where
    T: Serialize + 'static,
    E: Display + 'static,
{
    let mut value = Some(result.map_err(error_of)?);
    // Text goes as it is, without quotes.
    if let Some(text) = (&mut value as &mut dyn Any).downcast_mut::<Option<String>>() {
        return Ok(text.take().unwrap_or_default());
    }
    if let Some(bytes) = (&mut value as &mut dyn Any).downcast_mut::<Option<Vec<u8>>>() {
        return Ok(binary::told(bytes.take().unwrap_or_default()));
    }
    let not_json = |error| Error::permanent(format!("the result cannot be told as JSON: {error}"));
    let json = serde_json::to_string(&value).map_err(not_json)?;
    if json.starts_with('"') {
        return serde_json::from_str(&json).map_err(not_json);
    }
    Ok(json)
}

/// What the tool says of its failure.
fn error_of<E: Display + 'static>(error: E) -> Error {
    match (&error as &dyn Any).downcast_ref::<Error>() {
        Some(own) => own.clone(),
        None => Error::new(error),
    }
}

fn failed(error: Error) -> LocalBoxFuture<'static, Result<String, Error>> {
    futures_util::future::err(error).boxed_local()
}

pub(super) fn schema_of<A: JsonSchema>() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<A>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title"); // The name of a Rust type says nothing to the model.
        object.entry("type").or_insert_with(|| "object".into());
        object.entry("properties").or_insert_with(|| serde_json::json!({}));
    }
    schema
}
