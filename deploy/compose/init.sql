-- What Hitchpost needs of PostgreSQL's superuser, once: run by the image of PostgreSQL when the database is new.
\set password `cat /run/secrets/hitchpost_database_password`
CREATE ROLE hitchpost LOGIN PASSWORD :'password';
CREATE DATABASE hitchpost OWNER hitchpost;
GRANT SET ON PARAMETER log_min_error_statement, log_error_verbosity TO hitchpost;
