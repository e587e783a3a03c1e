//! Configuration: profiles, merged with the environment, validated.
