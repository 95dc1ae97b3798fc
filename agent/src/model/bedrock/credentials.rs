//! Where Amazon's credentials are: a token, variables, or the shared file. Asks no service and starts no program, so there is
//! no single sign-on and no instance's role here: what those give is put into variables before weir starts.

use std::path::PathBuf;

use super::super::config::{ConfigError, Definition, Surroundings};
use super::super::secret::{Secret, SecretError};

/// The variable of a token.
const BEARER: &str = "AWS_BEARER_TOKEN_BEDROCK";

/// How a request shows whose it is.
pub(super) enum Credentials {
    /// By a token.
    Bearer(Secret),
    /// By a signature.
    Keys(Keys),
}

/// What requests are signed with.
pub(super) struct Keys {
    pub(super) id: Secret,
    pub(super) secret: Secret,
    pub(super) session: Option<Secret>,
}

impl Credentials {
    /// The first of: a key of the table, the profile that it names, the variable of a token, variables of keys, the profile.
    pub(super) fn find(
        id: &str,
        definition: &Definition,
        around: &Surroundings<'_>,
    ) -> Result<Self, ConfigError> {
        if let Some(key) = definition.key(id, around)? {
            return Ok(Self::Bearer(key));
        }
        let failed = |source| ConfigError::Secret { id: id.to_owned(), source };
        let written = definition.aws.as_ref().and_then(|aws| aws.profile.clone());
        if written.is_none() {
            if let Some(token) = Secret::of_variable(BEARER, around.variable).map_err(failed)? {
                return Ok(Self::Bearer(token));
            }
            if let Some(keys) = Keys::of_variables(around).map_err(failed)? {
                return Ok(Self::Keys(keys));
            }
        }
        let profile =
            written.or_else(|| (around.variable)("AWS_PROFILE")).unwrap_or_else(|| "default".to_owned());
        let file = shared_file(around);
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(&file).unwrap_or_default());
        match Keys::of_profile(&text, &profile, &format!("{} [{profile}]", file.display())).map_err(failed)? {
            Some(keys) => Ok(Self::Keys(keys)),
            None => Err(ConfigError::NoCredentials { id: id.to_owned(), profile, file }),
        }
    }

    /// Where they are from.
    pub(super) fn from(&self) -> &str {
        match self {
            Self::Bearer(key) => key.from(),
            Self::Keys(keys) => keys.id.from(),
        }
    }
}

fn shared_file(around: &Surroundings<'_>) -> PathBuf {
    let set = (around.variable)("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    set.unwrap_or_else(|| {
        let home = (around.variable)("HOME").unwrap_or_default();
        PathBuf::from(home).join(".aws/credentials")
    })
}

impl Keys {
    /// All that is not to be repeated.
    pub(super) fn all(&self) -> impl Iterator<Item = &Secret> {
        [&self.id, &self.secret].into_iter().chain(&self.session)
    }

    fn of_variables(around: &Surroundings<'_>) -> Result<Option<Self>, SecretError> {
        let get = |name: &str| Secret::of_variable(name, around.variable);
        let (Some(id), Some(secret)) = (get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?) else {
            return Ok(None);
        };
        Ok(Some(Self { id, secret, session: get("AWS_SESSION_TOKEN")? }))
    }

    /// From the text of a shared file: sections in brackets, keys and values with `=` between.
    fn of_profile(text: &str, profile: &str, from: &str) -> Result<Option<Self>, SecretError> {
        let lines = text.lines().map(str::trim);
        let section = lines.skip_while(|line| *line != format!("[{profile}]")).skip(1);
        let pairs: Vec<_> = section
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.starts_with(['#', ';']))
            .filter_map(|line| line.split_once('='))
            .collect();
        let get = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key.trim() == name);
            found.map(|(_, value)| Secret::new(value, from)).transpose()
        };
        let (Some(id), Some(secret)) = (get("aws_access_key_id")?, get("aws_secret_access_key")?) else {
            return Ok(None);
        };
        Ok(Some(Self { id, secret, session: get("aws_session_token")? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_a_shared_file_are_told_apart() {
        let text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[work]\n; old\n\
                    aws_access_key_id=C\naws_secret_access_key = D=\naws_session_token = E\n[half]\naws_access_key_id = F\n";
        let read = |profile: &str| {
            let keys = Keys::of_profile(text, profile, "f").ok().flatten()?;
            let session = keys.session.map(|session| session.expose().to_owned());
            Some((keys.id.expose().to_owned(), keys.secret.expose().to_owned(), session))
        };
        assert_eq!(read("default"), Some(("A".to_owned(), "B".to_owned(), None)));
        assert_eq!(read("work"), Some(("C".to_owned(), "D=".to_owned(), Some("E".to_owned()))));
        assert_eq!(read("half"), None);
        assert_eq!(read("absent"), None);
    }
}
