"""Canaries: a release beside the one before it, judged by what both do at the same time.

Observe, decide, act. Layers, lower ones know nothing of higher ones::

    run, settings, lease   the tasks, and which of several monitors acts
    hooks, notify          what starts a canary, and whom it is told
    orphans                Deployments that a deleted canary had prepared
    trying                 recorded counts tried over HTTP
    views                  canaries over HTTP
    board, folder          where they are looked up; those described in files, judged without an API server
    controller             the loop: look at each, write its status, act
    looking, acting        the world read, one change carried out
    selfmetrics            how they stand, as metrics
    graph                  what canaries mean to each other (pure)
    transition, reconcile  one step of a canary; what became of an intent (pure)
    approval, saying       what a person lets happen; what a status says (pure)
    undecided, verified    what follows when the time is over; a look after a dependency's promotion (pure)
    restarts               restarts of pods since an analysis began (pure)
    modes, change          what is done in each mode; a change as one request (pure)
    observe                counts of complete minutes, kept in the store
    kube, deis, world      the API server, the Deis controller; what they say, as facts
    resource               the `Canary` resource: spec, status, conditions
    simulate               recorded counts against a policy (pure)
    picture                an analysis as SVG (pure)
    decide                 counts to a verdict (pure)
    noise                  over-dispersion from history (pure)
    arms                   counts as arrays over minutes
    counts                 what is judged, the policy, the verdict (the contract)
"""
