\echo Use "CREATE EXTENSION bgw_guest" to load this file. \quit
CREATE TABLE guest_book (at timestamptz DEFAULT now(), word text);
CREATE FUNCTION guest_word() RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
