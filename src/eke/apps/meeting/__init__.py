"""Minutes of a meeting: summary, decisions, actions with owner and due date only if said, each with its time.

transcript  who said what when, from VTT, SRT, JSON or text
prompts     the words the model is given
facts       which lines decide or promise something, checked against those lines
minutes     parts, map, reduce
show        Markdown, JSON, VTT
"""
