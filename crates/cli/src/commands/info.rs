//! `ldrop info`.

use learned_dropout::model_folder;
use serde::Serialize;
use training::config::RunConfig;
use training::flops;

use crate::arguments::{Common, InfoArguments};
use crate::failure::Failure;
use crate::model;
use crate::terminal::{grouped, print, print_json, tell};

#[derive(Serialize)]
struct Info {
    parameters: usize,
    parameters_without_positions: usize,
    /// What a token uses on average, where there are experts to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_parameters: Option<usize>,
    forward_flops_per_token: ForwardFlops,
}

#[derive(Serialize)]
struct ForwardFlops {
    /// Everything computed.
    dense: u64,
    /// What is left when dropped values and experts that are not chosen are not computed. On the feed-forward output the mask
    /// is known only after the work is done: nothing is saved.
    kept: u64,
}

/// Runs `info`.
pub fn run(arguments: InfoArguments, common: &Common) -> Result<(), Failure> {
    let config = match (&arguments.config, &arguments.model) {
        (Some(file), _) => model::of_run(&RunConfig::read(file, &arguments.overrides)?, file)?,
        (None, Some(folder)) => model_folder::read_config(&model::locate(folder)?)?,
        (None, None) => return Err(Failure::Usage("give --config or --model".into())),
    };
    let info = Info {
        parameters: config.parameters(),
        parameters_without_positions: config.parameters_without_positions(),
        active_parameters: config
            .feed_forward
            .experts()
            .map(|_| config.active_parameters()),
        forward_flops_per_token: ForwardFlops {
            dense: flops::forward_per_token(&config) as u64,
            kept: flops::executed_per_token(&config) as u64,
        },
    };
    if common.json {
        return print_json(&info);
    }
    if config.learned_dropout.is_some() {
        tell(
            "note: masks on the feed-forward output are known only after that is computed, so \
             nothing can be left out",
        );
    }
    if let Some(active) = info.active_parameters {
        print(&format!(
            "parameters used by a token    {}",
            grouped(active as u64)
        ))?;
    }
    print(&format!(
        "parameters                    {}\n\
         without positional embedding  {}\n\
         forward FLOPs per token       {} dense, {} with dropped values left out",
        grouped(info.parameters as u64),
        grouped(info.parameters_without_positions as u64),
        grouped(info.forward_flops_per_token.dense),
        grouped(info.forward_flops_per_token.kept),
    ))
}
