"""What api and worker share: tables, job lifecycle and queue, blobs, settings. All SQL of the project is here."""
