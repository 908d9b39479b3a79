"""The run in a browser: what is owned, planned, running, served and learned, and a box to talk to it.

Rendered on the server; parts that change are fetched again by htmx. It reads the run's folder and computes nothing.

    app      routes
    sources  what lies in the run's folder, or why not
    views    what a page shows, in the page's words
    charts   SVG, drawn here
"""
