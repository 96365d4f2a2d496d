"""Players from their names (stub until the full resolver lands)."""
from mascot_env.players.scripted import ScriptedSpeaker, ScriptedUser
from mascot_env.players.directors import HeuristicDirector, RoundRobinDirector, RandomDirector
def resolve_user(spec): return None if spec is None else spec if hasattr(spec, "act") else ScriptedUser()
def resolve_realiser(spec): return None if spec is None else spec if hasattr(spec, "act") else ScriptedSpeaker()
def resolve_speakers(spec, domain): return spec if hasattr(spec, "act") else ScriptedSpeaker()
def resolve_director(spec, domain):
    if hasattr(spec, "act"): return spec
    return {"heuristic": HeuristicDirector(), "random": RandomDirector(), "round-robin": RoundRobinDirector(domain)}[spec]
