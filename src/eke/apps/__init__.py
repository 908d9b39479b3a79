"""What the stock is good for: applications that speak only to the gateway, over HTTP.

One application is one folder of the same shape: `read` its input, `ask` the model in small steps, check every answer
in code, `show` the result. What all share stands here:

    client      one door to /v1: chat, streams, retries, the words for what went wrong
    structured  an answer that fits a schema, repaired once
    grounding   does the source say so? words, names, dates
    portions    pieces that fit the model's context, never cut inside a piece
"""
