"""What tests and scripts share: laboratories around real programs, servers, documents to test with."""
